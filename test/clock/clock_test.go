package clock

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if os.Getenv("CLOCK_TEST_CHILD") != "" {
		child()
		return
	}
	os.Exit(m.Run())
}

// child says what its clocks show, once for each line that it reads; its other
// threads never leave the clock alone.
func child() {
	begin := time.Now()
	for range 4 {
		go func() {
			for {
				_ = time.Now()
			}
		}()
	}
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		fmt.Println(time.Now().UnixNano(), int64(time.Since(begin)))
	}
}

// A running Go program's wall clock goes where it is set, and back; its monotonic
// clock, and this program's, stay.
func TestSet(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "CLOCK_TEST_CHILD=1", "GOMAXPROCS=8")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	lines, begin := bufio.NewReader(out), time.Now()
	for i, skew := range []time.Duration{time.Hour, -time.Hour, 24 * time.Hour, 0} {
		if err := Set(cmd.Process.Pid, skew); i == 0 && errors.Is(err, ErrUnsupported) {
			t.Skip(err) // another processor, or a kernel that refuses; nothing else is left out
		} else if err != nil {
			t.Fatal(err)
		}
		before := time.Now()
		if _, err := in.Write([]byte("\n")); err != nil {
			t.Fatal(err)
		}
		var wall, monotonic int64
		if _, err := fmt.Fscan(lines, &wall, &monotonic); err != nil {
			t.Fatal(err)
		}
		if got := time.Unix(0, wall).Sub(before.Round(0)); got < skew-time.Second || got > skew+10*time.Second {
			t.Errorf("the wall clock is %s off, want %s", got, skew)
		}
		if got, most := time.Duration(monotonic), time.Since(begin); got < 0 || got > most {
			t.Errorf("by the monotonic clock the program has run for %s of at most %s", got, most)
		}
	}
}
