package engine

import (
	"errors"
	"testing"
)

// What a leader refuses because the servers have none among them is to be asked again; what it refuses for another reason is not.
func TestUnanswered(t *testing.T) {
	if err := unanswered(&apiError{Code: 503, ErrCode: 10008, Text: "JetStream system temporarily unavailable"}); !errors.Is(err, ErrNoLog) {
		t.Error(err)
	}
	if err := unanswered(&apiError{Code: 400, ErrCode: 10003, Text: "bad request"}); errors.Is(err, ErrNoLog) {
		t.Error(err)
	}
}
