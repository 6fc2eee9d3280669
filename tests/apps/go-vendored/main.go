package main

import (
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/julienschmidt/httprouter"
)

func main() {
	router := httprouter.New()
	router.GET("/", func(w http.ResponseWriter, _ *http.Request, _ httprouter.Params) {
		fmt.Fprintln(w, "Hello from go-vendored")
	})
	log.Fatal(http.ListenAndServe(":"+os.Getenv("PORT"), router))
}
