package hcldoc

import (
	"bytes"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/reeve-lb/reeve/internal/source"
)

// maxDepth bounds brackets inside brackets: the parser of HCL calls itself for each.
const maxDepth = 32

// guard refuses, before parsing, what HCL knows and a configuration does not: templates and conditions (they come with
// variables), and nesting so deep that only an attacker writes it.
func (r *reader) guard(content []byte) bool {
	tokens, _ := hclsyntax.LexConfig(content, r.file, hcl.InitialPos)
	depth, minus := 0, 0
	for _, t := range tokens {
		switch t.Type {
		case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen:
			if depth++; depth > maxDepth {
				r.ps.Errorf(r.pos(t.Range), "", "more than %d brackets inside each other", maxDepth)
				return false
			}
		case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen:
			depth--
		case hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl:
			r.ps.Errorf(r.pos(t.Range), "write $${ or %%{ for the characters themselves", "templates (%s) are not supported yet", t.Bytes)
			return false
		case hclsyntax.TokenNumberLit:
			if len(t.Bytes) > 32 || bytes.ContainsAny(t.Bytes, "eE") {
				r.ps.Errorf(r.pos(t.Range), "", "the number is too large or written with an exponent")
				return false
			}
		case hclsyntax.TokenQuestion, hclsyntax.TokenBang, hclsyntax.TokenOHeredoc:
			r.ps.Errorf(r.pos(t.Range), "", "%q is not supported yet", bytes.TrimSpace(t.Bytes))
			return false
		}
		if minus++; t.Type != hclsyntax.TokenMinus {
			minus = 0
		}
		if minus > 1 {
			r.ps.Errorf(r.pos(t.Range), "", "more than one minus sign")
			return false
		}
	}
	return true
}

// pos is the place where a range begins, with the column in bytes (HCL counts characters).
func (r *reader) pos(rng hcl.Range) source.Pos {
	off := min(max(rng.Start.Byte, 0), len(r.content))
	return source.Pos{File: r.file, Line: bytes.Count(r.content[:off], []byte("\n")) + 1,
		Col: off - bytes.LastIndexByte(r.content[:off], '\n')}
}
