package engine

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"

	"github.com/reeve-lb/reeve/internal/source"
	"github.com/reeve-lb/reeve/proxy"
	"github.com/reeve-lb/reeve/proxy/http1"
)

// errorPage is an answer of our own: the head up to where the connection's fate is told, and the body. The zero page says
// nothing: the connection is closed.
type errorPage struct{ head, body string }

// errorSet are the pages of a proxy that take the place of the built-in ones.
type errorSet map[int]errorPage

var errorPages = errorSet{}

func init() {
	for _, p := range []struct {
		status       int
		reason, text string
	}{
		{400, "Bad request", "The request could not be understood."},
		{401, "Unauthorized", "A user name and a password are needed."},
		{200, "OK", "All is well."},
		{403, "Forbidden", "Access is not allowed by the rules of this site."},
		{404, "Not Found", "There is nothing here."},
		{405, "Method Not Allowed", "The request can't be made that way."},
		{407, "Proxy Authentication Required", "A user name and a password are needed."},
		{410, "Gone", "What was here is no more."},
		{413, "Content Too Large", "The request is too long."},
		{421, "Misdirected Request", "The request came to the wrong place."},
		{422, "Unprocessable Content", "The request makes no sense here."},
		{425, "Too Early", "The request must be made once more."},
		{429, "Too Many Requests", "The request is one too many for now."},
		{501, "Not Implemented", "The request asks for what is not known here."},
		{408, "Request Time-out", "The request did not arrive in time."},
		{431, "Request Header Fields Too Large", "The request's head is too long."},
		{500, "Internal Server Error", "Something went wrong here."},
		{502, "Bad Gateway", "The server's answer was invalid or incomplete."},
		{503, "Service Unavailable", "No server is available to handle this request."},
		{504, "Gateway Time-out", "The server did not answer in time."},
	} {
		status := strconv.Itoa(p.status)
		errorPages[p.status] = builtIn(status+" "+p.reason, "<html><body><h1>"+status+" "+p.reason+"</h1>\n"+p.text+"\n</body></html>\n")
	}
}

func builtIn(status, body string) errorPage {
	return errorPage{"HTTP/1.1 " + status + "\r\ncontent-length: " + strconv.Itoa(len(body)) + "\r\ncache-control: no-cache\r\ncontent-type: text/html\r\n", body}
}

// page is what is answered for a status: the backend's, the frontend's or the built-in page.
func (t *txn) page(status int) errorPage {
	if t.bc != nil {
		if p, ok := t.bc.pages[status]; ok {
			return p
		}
	}
	if p, ok := t.fc.pages[status]; ok {
		return p
	}
	return errorPages[status]
}

// compilePages reads the files of `errorfile`. One that is no answer is left out.
func compilePages(files []proxy.ErrorFile, ps *source.Problems) errorSet {
	var set errorSet
	for _, f := range files {
		p, err := loadPage(f)
		if err != nil {
			ps.Errorf(f.Pos, "a whole HTTP answer, as in HTTP/1.1 503 Service Unavailable", "errorfile %d: %v", f.Code, err)
			continue
		}
		if set == nil {
			set = errorSet{}
		}
		set[f.Code] = p
	}
	return set
}

func loadPage(f proxy.ErrorFile) (errorPage, error) {
	if f.Location != "" {
		reason := map[int]string{302: "Found", 303: "See Other"}[f.Status]
		return errorPage{head: fmt.Sprintf("HTTP/1.1 %d %s\r\ncache-control: no-cache\r\ncontent-length: 0\r\nlocation: %s\r\n", f.Status, reason, f.Location)}, nil
	}
	file, err := os.Open(f.File)
	if err != nil {
		return errorPage{}, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, http1.MaxHead+1))
	switch {
	case err != nil:
		return errorPage{}, err
	case len(text) > http1.MaxHead:
		return errorPage{}, fmt.Errorf("%s is longer than %d bytes", f.File, http1.MaxHead)
	case len(text) == 0:
		return errorPage{}, nil
	}
	p, err := parsePage(text)
	if err != nil {
		return errorPage{}, fmt.Errorf("%s: %w", f.File, err)
	}
	return p, nil
}

// parsePage takes lines that end in LF alone, as editors write them, and counts the body itself.
func parsePage(text []byte) (errorPage, error) {
	head, body, ok := bytes.Cut(text, []byte("\r\n\r\n"))
	if lf, rest, found := bytes.Cut(text, []byte("\n\n")); found && len(lf) < len(head) {
		head, body, ok = lf, rest, true
	}
	if !ok {
		return errorPage{}, fmt.Errorf("no empty line ends the head")
	}
	head = bytes.ReplaceAll(bytes.ReplaceAll(head, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
	head = append(head, "\r\n\r\n"...)
	var h http1.Head
	if f := http1.ParseResponse(head, &h); f != http1.None {
		return errorPage{}, f
	}
	out := append([]byte("HTTP/1.1"), h.Line.Of(head)[8:]...)
	out = append(out, "\r\ncontent-length: "+strconv.Itoa(len(body))+"\r\n"...)
	for _, hd := range h.Headers[:h.N] {
		if !hd.Hop && hd.ID != http1.ContentLength && hd.ID != http1.TransferEncoding {
			out = fmt.Appendf(out, "%s: %s\r\n", hd.Name.Of(head), hd.Value.Of(head))
		}
	}
	return errorPage{string(out), string(body)}, nil
}
