package engine

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// normal is what a stream of messages says, whatever the letters of its header names, their order and the sizes of its
// chunks: two proxies that say the same have the same.
func (p *performance) normal(who string, stream []byte) string {
	if who < "a" {
		text, _ := normalRequests(stream)
		return text
	}
	_, methods := normalRequests(p.at[who].sent)
	return normalAnswers(stream, methods)
}

func normalRequests(b []byte) (text string, methods []string) {
	var out strings.Builder
	for {
		for bytes.HasPrefix(b, []byte("\r\n")) {
			b = b[2:]
		}
		line, headers, rest, ok := cutHead(b)
		if !ok {
			fmt.Fprintf(&out, "%q", b)
			return out.String(), methods
		}
		method, _, _ := strings.Cut(line, " ")
		methods = append(methods, method)
		if method == "CONNECT" {
			fmt.Fprintf(&out, "%s %q and %q", line, headers, rest)
			return out.String(), methods
		}
		body, after, whole := cutBody(headers, rest, false)
		fmt.Fprintf(&out, "%s %q %q\n", line, headers, body)
		if b = after; !whole {
			return out.String(), methods
		}
	}
}

func normalAnswers(b []byte, methods []string) string {
	var out strings.Builder
	for len(b) > 0 {
		line, headers, rest, ok := cutHead(b)
		if !ok {
			fmt.Fprintf(&out, "%q", b)
			break
		}
		method, status := "", ""
		if f := strings.Fields(line); len(f) > 1 {
			status = f[1]
		}
		if len(methods) > 0 {
			method = methods[0]
		}
		switch {
		case strings.HasPrefix(status, "1") && status != "101":
			fmt.Fprintf(&out, "%s %q\n", line, headers)
			b = rest
			continue
		case status == "101" || method == "CONNECT" && strings.HasPrefix(status, "2"):
			fmt.Fprintf(&out, "%s %q and %q", line, headers, rest)
			return out.String()
		}
		methods = methods[min(1, len(methods)):]
		body, whole := "", true
		if method != "HEAD" && status != "204" && status != "304" {
			body, rest, whole = cutBody(headers, rest, true)
		}
		if strings.HasPrefix(body, "<html>") { // a page of the proxy itself
			body = "a page"
			headers = slices.DeleteFunc(headers, func(h string) bool {
				return !strings.HasPrefix(h, "connection:") && !strings.HasPrefix(h, "www-authenticate:")
			})
		}
		fmt.Fprintf(&out, "%s %q %q\n", line, headers, body)
		if b = rest; !whole {
			break
		}
	}
	return out.String()
}

// cutHead takes a head off: its first line, and its header lines in order of their names.
func cutHead(b []byte) (line string, headers []string, rest []byte, ok bool) {
	head, rest, ok := bytes.Cut(b, []byte("\r\n\r\n"))
	if !ok {
		return "", nil, b, false
	}
	lines := strings.Split(string(head), "\r\n")
	for _, l := range lines[1:] {
		name, value, _ := strings.Cut(l, ":")
		name, value = strings.ToLower(name), strings.TrimSpace(value)
		if name == "connection" {
			value = strings.ToLower(value)
		}
		headers = append(headers, name+": "+value)
	}
	slices.Sort(headers)
	return lines[0], headers, rest, true
}

// cutBody takes a body off. Without framing an answer's is all there is.
func cutBody(headers []string, b []byte, answer bool) (body string, rest []byte, whole bool) {
	length := -1
	for _, h := range headers {
		if h == "transfer-encoding: chunked" {
			return cutChunks(b)
		}
		if v, ok := strings.CutPrefix(h, "content-length: "); ok {
			length, _ = strconv.Atoi(v)
		}
	}
	switch {
	case length < 0 && answer:
		return string(b), nil, false
	case length < 0:
		return "", b, true
	}
	n := min(length, len(b))
	return string(b[:n]), b[n:], n == length
}

func cutChunks(b []byte) (body string, rest []byte, whole bool) {
	var out strings.Builder
	for {
		line, after, ok := bytes.Cut(b, []byte("\r\n"))
		size, _, _ := strings.Cut(string(line), ";")
		n, err := strconv.ParseUint(strings.TrimSpace(size), 16, 32)
		if !ok || err != nil {
			if len(b) > 0 && err != nil {
				fmt.Fprintf(&out, " and %q", b)
			}
			return out.String(), nil, false
		}
		if n == 0 {
			trailers, rest, ok := bytes.Cut(b[len(line):], []byte("\r\n\r\n"))
			if ok {
				fmt.Fprintf(&out, " end %s", strings.ToLower(string(trailers)))
			}
			return out.String(), rest, ok
		}
		k := min(int(n), len(after))
		out.Write(after[:k])
		if b = after[k:]; len(b) < 2 {
			return out.String(), nil, false
		}
		b = b[2:]
	}
}
