package main

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"modeldown/replay/wire"
)

// play runs the program on an input, through its JSON.
func play(t testing.TB, in *wire.Input) []byte {
	t.Helper()
	text, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	if path := os.Getenv("REPLAY_INPUT"); path != "" {
		os.WriteFile(path, text, 0o644)
	}
	var out bytes.Buffer
	if err := run(bytes.NewReader(text), &out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestReference(t *testing.T) {
	out := play(t, newScene().exam().input())
	os.WriteFile("/tmp/replay-out.jsonl", out, 0o644)
}
