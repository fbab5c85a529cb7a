package httpapi_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// TestPage: the website lists every call that is served, and no other; and the status of every code.
func TestPage(t *testing.T) {
	page, err := os.ReadFile("../../website/reference/api.md")
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile("handler.go")
	if err != nil {
		t.Fatal(err)
	}
	call := regexp.MustCompile(`(?:GET|PUT|DELETE|POST) /v1/[a-z/{}.-]*[a-z}]`)
	served, told := map[string]bool{}, map[string]bool{}
	for _, c := range call.FindAllString(string(code), -1) {
		served[c] = true
	}
	for _, c := range call.FindAllString(string(page), -1) {
		told[c] = true
	}
	for c := range served {
		if !told[c] {
			t.Errorf("%s is served and not on the page", c)
		}
	}
	for c := range told {
		if !served[c] {
			t.Errorf("%s is on the page and not served", c)
		}
	}
	for code, status := range map[string]string{"invalid": "400", "forbidden": "403", "not_found": "404", "conflict": "409", "alone": "409",
		"refused": "422", "internal": "500", "no_leader": "503"} {
		if !strings.Contains(string(page), "| `"+code+"` | "+status+" |") {
			t.Errorf("the page does not say that %s is %s", code, status)
		}
	}
}
