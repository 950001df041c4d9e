// Program echo answers every request with what it saw of it, as JSON.
//
// Its answer has the shape that the conformance suites for Ingress controllers expect: who
// answered (from the environment) and what arrived. A test reads from it which pod a request
// reached and what was done to it on the way.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const address = ":3000"

// answer is the body of every response but /health's.
type answer struct {
	Path      string              `json:"path"` // request target in origin form, query included
	Host      string              `json:"host"`
	Method    string              `json:"method"`
	Proto     string              `json:"proto"`
	Headers   map[string][]string `json:"headers"`
	Namespace string              `json:"namespace"`
	Ingress   string              `json:"ingress"`
	Service   string              `json:"service"`
	Pod       string              `json:"pod"`
}

func main() {
	if len(os.Args) > 1 {
		fmt.Println("echo takes no arguments; it listens on", address)
		return
	}
	// No ServeMux: it would answer `//a` and `/a/../b` with redirects of its own.
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/health" {
			_, _ = w.Write([]byte("OK"))
			return
		}
		echo(w, r)
	})
	server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: 10 * time.Second}

	told, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	log.Printf("listening on %s", address)
	select {
	case err := <-ended:
		log.Fatal(err)
	case <-told.Done():
	}
	drained, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := server.Shutdown(drained); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		log.Fatal(err)
	}
}

func echo(w http.ResponseWriter, r *http.Request) {
	log.Printf("%s %s %s from %s", r.Method, r.Host, r.RequestURI, r.RemoteAddr)
	body, err := json.MarshalIndent(answer{
		Path:      r.RequestURI,
		Host:      r.Host,
		Method:    r.Method,
		Proto:     r.Proto,
		Headers:   r.Header,
		Namespace: os.Getenv("NAMESPACE"),
		Ingress:   os.Getenv("INGRESS_NAME"),
		Service:   os.Getenv("SERVICE_NAME"),
		Pod:       os.Getenv("POD_NAME"),
	}, "", " ")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(body)
}
