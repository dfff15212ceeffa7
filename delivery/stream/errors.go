package stream

import "errors"

// What is wrong with a handshake.
var (
	// ErrNotSocket: the client does not ask for a websocket; it should ask elsewhere, or upgrade (426).
	ErrNotSocket = errors.New("this is a websocket: headers Connection: Upgrade and Upgrade: websocket are missing")
	// ErrVersion: the client speaks another version of the protocol; 13 is the only one that was ever final (426).
	ErrVersion = errors.New("header Sec-WebSocket-Version must be 13")
	// ErrKey: the client's key is no 16 bytes in base64 (400).
	ErrKey = errors.New("header Sec-WebSocket-Key must be 16 bytes in base64")
)

// Why a session ends. All but errWire are orderly.
var (
	errOver    = errors.New("the limit or the time was reached")
	errRevoked = errors.New("the caller may not read any more")
	errWire    = errors.New("the client is gone")
)
