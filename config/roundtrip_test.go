package config

import (
	"encoding/json"
	"testing"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

func TestAnyDocumentSurvivesHCL(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := genDocument.Draw(t, "document")
		b := WriteHCL(d)
		again, _, ps := Load([]File{{Name: "written.hcl", Content: b}})
		if err := ps.Err(); err != nil {
			t.Fatalf("written HCL is refused: %v\n%s", err, b)
		}
		for _, c := range Diff(d, again) {
			t.Errorf("%s", c)
		}
		if t.Failed() {
			t.Fatalf("\n%s", b)
		}
		if second := WriteHCL(again); string(second) != string(b) {
			t.Fatalf("written twice, differently:\n%s\n%s", b, second)
		}
		if !norm.NFC.IsNormal(b) {
			t.Fatal("the generator made text that HCL holds in another form")
		}
	})
}

func TestAnyDocumentSurvivesJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := genDocument.Draw(t, "document")
		b, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var again Document
		if err := json.Unmarshal(b, &again); err != nil {
			t.Fatal(err)
		}
		for _, c := range Diff(d, again) {
			t.Errorf("%s", c)
		}
		second, err := json.Marshal(again)
		if err != nil || string(second) != string(b) {
			t.Fatalf("JSON is not the same the second time (%v):\n%s\n%s", err, b, second)
		}
	})
}
