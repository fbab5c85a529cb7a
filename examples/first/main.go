// The two web servers that examples/first/haproxy.cfg balances over: each answers its name.
package main

import (
	"fmt"
	"log"
	"net/http"
	"os"
	"time"
)

func main() {
	failed := make(chan error)
	for name, addr := range map[string]string{"one": "127.0.0.1:8081", "two": "127.0.0.1:8082"} {
		s := &http.Server{
			Addr:              addr,
			ReadHeaderTimeout: 5 * time.Second,
			Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, "I am server %s. You are %s.\n", name, r.Header.Get("X-Forwarded-For"))
			}),
		}
		go func() { failed <- s.ListenAndServe() }()
	}
	go endWithParent()
	log.Print("server one on 127.0.0.1:8081, server two on 127.0.0.1:8082")
	log.Fatal(<-failed)
}

// endWithParent: `go run` hands no signal on to the program that it runs, which would outlive it.
func endWithParent() {
	parent := os.Getppid()
	for range time.Tick(200 * time.Millisecond) {
		if os.Getppid() != parent {
			os.Exit(0)
		}
	}
}
