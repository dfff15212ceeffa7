package client

import (
	"context"
	"io"
	"net/http"
)

// Backup opens a backup that is being taken, a stream of tar; with masterKey the master key is in it. It ends with ctx; the caller
// closes it. Errors as Send.
func (c *Client) Backup(ctx context.Context, masterKey bool) (io.ReadCloser, error) {
	path := "/v1/backup"
	if masterKey {
		path += "?masterKey=true"
	}
	resp, err := c.Send(ctx, http.MethodGet, path, nil, http.Header{})
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}
