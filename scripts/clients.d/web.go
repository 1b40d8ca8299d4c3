// SPDX-License-Identifier: GPL-2.0-only

// The same as web.py by Go's net/http: web-go go|go-stopped URL PAUSE
// METHOD,METHOD...  In a pause, go-stopped is stopped, as a busy machine may
// do, until the close has come.  net/http repeats by itself what its
// documentation of Transport says; nothing is left to a program.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

func request(method, url string) error {
	var body io.Reader
	if method == "POST" {
		body = strings.NewReader("hello")
	}
	r, err := http.NewRequest(method, url, body)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if _, err := io.Copy(io.Discard, answer.Body); err != nil {
		return err
	}
	if answer.StatusCode != 200 {
		return fmt.Errorf("HTTP %d", answer.StatusCode)
	}
	return nil
}

func main() {
	name, url := os.Args[1], os.Args[2]
	pause, _ := strconv.Atoi(os.Args[3])
	for n, method := range strings.Split(os.Args[4], ",") {
		var others *exec.Cmd
		if n > 0 {
			if name == "go-stopped" {
				others = exec.Command("sh", "-c", fmt.Sprintf(
					"sleep 1; kill -STOP $PPID; sleep %d; kill -CONT $PPID",
					pause))
				if err := others.Start(); err != nil {
					panic(err)
				}
			}
			time.Sleep(time.Duration(pause) * time.Second)
		}
		start, errors := time.Now(), ""
		for i := 0; i < 3; i++ {
			err := request(method, fmt.Sprintf("%s/%d", url, n))
			if err == nil {
				break
			}
			errors += "\t" + strings.Join(strings.Fields(err.Error()), " ")
		}
		took := float64(time.Since(start).Microseconds()) / 1000
		fmt.Printf("%d\t%s\t%.1f%s\n", n, method, took, errors)
		if others != nil {
			others.Wait()
		}
	}
}
