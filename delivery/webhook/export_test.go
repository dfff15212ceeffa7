package webhook

import "time"

// Sign is the value of the header Webhook-Signature for a message, with a signature for each key.
func Sign(keys []Key, id string, at time.Time, body []byte) string {
	var dst []byte
	for i, key := range keys {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = newSigner(key).append(dst, id, at.Unix(), body)
	}
	return string(dst)
}
