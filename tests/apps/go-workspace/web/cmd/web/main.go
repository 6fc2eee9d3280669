package main

import (
	"io"
	"log"
	"net/http"
	"os"

	"github.com/gorilla/mux"

	"example.com/go-workspace/greeting"
)

func main() {
	router := mux.NewRouter()
	router.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, greeting.Text)
	})
	log.Fatal(http.ListenAndServe(":"+os.Getenv("PORT"), router))
}
