package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/google/uuid"

	"example.com/go-workspace/greeting"
)

func main() {
	fmt.Print("worker ", uuid.New(), ": ", greeting.Text)
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, os.Interrupt)
	<-stop
}
