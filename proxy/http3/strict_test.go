package http3

import (
	"slices"
	"strings"

	"github.com/quic-go/qpack"
	"golang.org/x/net/http2/hpack"
)

// A second reading of heads, by the letter of RFC 9114 sections 4.2 and 4.3.

const tokenChars = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"

func goodName(name string) bool { return name != "" && strings.Trim(name, tokenChars) == "" }

func goodValue(v string) bool {
	return !strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f })
}

// ofConnection are fields that HTTP/3 does not have (section 4.2).
var ofConnection = []string{"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}

// fieldsByName are a head's fields but for the pseudo ones, the values of a name in their order.
type fieldsByName map[string][]string

// strictly reads a block; "" is what is wrong with it.
func strictly(block []qpack.HeaderField) (pseudo map[string]string, fields fieldsByName, wrong string) {
	pseudo, fields = map[string]string{}, fieldsByName{}
	for _, f := range block {
		switch _, twice := pseudo[f.Name]; {
		case !goodValue(f.Value):
			return nil, nil, "the value of " + f.Name
		case strings.HasPrefix(f.Name, ":"):
			if twice || len(fields) > 0 {
				return nil, nil, f.Name + " is there twice, or late"
			}
			pseudo[f.Name] = f.Value
		case !goodName(f.Name), slices.Contains(ofConnection, f.Name), f.Name == "te" && f.Value != "trailers":
			return nil, nil, "the field " + f.Name
		default:
			fields[f.Name] = append(fields[f.Name], f.Value)
		}
	}
	return pseudo, fields, ""
}

// strictRequest reads the head of a request.
func strictRequest(block []qpack.HeaderField) (pseudo map[string]string, fields fieldsByName, wrong string) {
	if pseudo, fields, wrong = strictly(block); wrong != "" {
		return
	}
	for name := range pseudo {
		if !slices.Contains([]string{":method", ":scheme", ":authority", ":path", ":protocol"}, name) {
			return nil, nil, "there is no " + name
		}
	}
	_, extended := pseudo[":protocol"]
	_, schemed := pseudo[":scheme"]
	path, pathed := pseudo[":path"]
	host := pseudo[":authority"]
	if hosts := fields["host"]; host == "" && len(hosts) > 0 {
		host = hosts[0]
	}
	lengths := slices.Compact(slices.Clone(fields["content-length"]))
	switch method := pseudo[":method"]; {
	case !goodName(strings.ToLower(method)):
		return nil, nil, "the method"
	case host == "" || len(fields["host"]) > 1:
		return nil, nil, "the host"
	case method == "CONNECT" && !extended && (schemed || pathed), extended && method != "CONNECT":
		return nil, nil, "CONNECT"
	case (method != "CONNECT" || extended) && !strings.HasPrefix(path, "/") && (path != "*" || method != "OPTIONS"):
		return nil, nil, "the path"
	case len(lengths) > 1 || len(lengths) == 1 && lengths[0] != "" && strings.Trim(lengths[0], "0123456789") != "":
		return nil, nil, "the length"
	}
	return pseudo, fields, ""
}

// strictTrailers reads trailers: no pseudo fields, and none that frame or route a message (RFC 9110 section 6.5.1).
func strictTrailers(block []qpack.HeaderField) (fieldsByName, string) {
	pseudo, fields, wrong := strictly(block)
	switch {
	case wrong != "":
		return nil, wrong
	case len(pseudo) > 0:
		return nil, "pseudo fields"
	}
	for name := range fields {
		if slices.Contains([]string{"content-length", "host", "trailer", "transfer-encoding"}, name) {
			return nil, "the trailer " + name
		}
	}
	return fields, ""
}

// asSent is what a request's fields are to be for the loop: crumbs of cookies joined, a length said once (RFC 9114 section 4.2.1,
// RFC 9110 section 8.6). A Trailer line is compared by nobody: it is taken apart and made anew.
func (f fieldsByName) asSent() fieldsByName {
	out := fieldsByName{}
	for name, values := range f {
		switch {
		case name == "cookie":
			values = []string{strings.Join(values, "; ")}
		case name == "content-length":
			values = values[:1]
			if values[0] == "" {
				continue
			}
		case name == "trailer":
			continue
		}
		out[name] = values
	}
	return out
}

// likewise are fields of HTTP/2 as those of HTTP/3.
func likewise(fields []hpack.HeaderField) (out []qpack.HeaderField) {
	for _, f := range fields {
		out = append(out, qpack.HeaderField{Name: f.Name, Value: f.Value})
	}
	return out
}

// parsed are lines of NAME=VALUE.
func parsed(lines string) (out []qpack.HeaderField) {
	for line := range strings.SplitSeq(lines, "\n") {
		if name, value, ok := strings.Cut(line, "="); ok {
			out = append(out, qpack.HeaderField{Name: name, Value: value})
		}
	}
	return out
}
