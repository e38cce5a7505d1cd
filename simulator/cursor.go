package simulator

import (
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
)

// A cursor is a place in a queue's order of scheduling. It stays valid while jobs come and
// go, because it names a place and not a job.
const cursorPrefix = "v1:"

func encodeCursor(order uint64) string {
	return base64.URLEncoding.EncodeToString([]byte(cursorPrefix + strconv.FormatUint(order, 36)))
}

var errCursor = errors.New("after is not a cursor of ours")

func decodeCursor(cursor string) (uint64, error) {
	if cursor == "" {
		return 0, nil
	}
	raw, err := base64.URLEncoding.DecodeString(cursor)
	if err != nil {
		return 0, errCursor
	}
	digits, isOurs := strings.CutPrefix(string(raw), cursorPrefix)
	if !isOurs {
		return 0, errCursor
	}
	order, err := strconv.ParseUint(digits, 36, 64)
	if err != nil || order == 1<<64-1 {
		return 0, errCursor
	}
	return order, nil
}
