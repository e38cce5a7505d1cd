package container

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// A file is seen soon after it is there, and whoever waits for long looks seldom.
func TestAwait(t *testing.T) {
	for after, want := range map[time.Duration]struct {
		late  time.Duration
		looks int
	}{
		10 * time.Millisecond:  {soon, 6},
		140 * time.Millisecond: {3 * time.Millisecond, 75},
		time.Second:            {20 * time.Millisecond, 180},
		10 * time.Second:       {seldom, 300},
		time.Minute:            {seldom, 600},
	} {
		t.Run(after.String(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "file")
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				time.AfterFunc(after, func() {
					if err := os.WriteFile(path, nil, 0o600); err != nil {
						t.Error(err)
					}
				})
				if err := await(context.Background(), path); err != nil {
					t.Fatal(err)
				}
				if late := time.Since(began) - after; late > want.late {
					t.Errorf("seen %s late, want %s at most", late, want.late)
				}
			})
			looks := 0
			for waited := time.Duration(0); waited < after; waited += untilNext(waited) {
				looks++
			}
			if looks > want.looks {
				t.Errorf("%d looks, want %d at most", looks, want.looks)
			}
		})
	}
}
