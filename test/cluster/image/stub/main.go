// Command stub is the one program in the image of the same name: what a pod
// can be asked to do in a test of the cluster, and the program that holds a
// pod's namespaces.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "stub:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	if len(args) == 0 {
		// As process 1 of a pod's shared PID namespace it has orphans to reap; ignoring SIGCHLD leaves that to the kernel.
		signal.Ignore(syscall.SIGCHLD)
		<-stop
		return nil
	}
	switch command, rest := args[0], args[1:]; {
	case command == "say":
		fmt.Println(strings.Join(rest, " "))
		return nil
	case command == "exit" && len(rest) == 1:
		code, err := strconv.Atoi(rest[0])
		if err != nil {
			return err
		}
		os.Exit(code)
		return nil
	case command == "sleep" && len(rest) == 1:
		seconds, err := strconv.ParseFloat(rest[0], 64)
		if err != nil {
			return err
		}
		select {
		case <-stop:
			os.Exit(128 + int(syscall.SIGTERM))
		case <-time.After(time.Duration(seconds * float64(time.Second))):
		}
		return nil
	case command == "get" && len(rest) == 1:
		client := http.Client{Timeout: 10 * time.Second}
		response, err := client.Get(rest[0])
		if err != nil {
			return err
		}
		defer response.Body.Close()
		_, err = io.Copy(os.Stdout, response.Body)
		return err
	default:
		return fmt.Errorf("unknown arguments %q", args)
	}
}
