package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// credentials are those of a bucket.
type credentials struct {
	key, secret, session string
	endpoint             string // where the file names one, else empty
	pathStyle            bool
}

// parseCredentials reads what `aws iam create-access-key` printed, or the flat form of S3-compatible servers. No part of the text is in its
// error, which wraps ErrCredentials.
func parseCredentials(text []byte) (credentials, error) {
	// Member by member, for encoding/json would take AccessKey and accessKey for one.
	var members map[string]json.RawMessage
	if json.Unmarshal(text, &members) != nil || members == nil {
		return credentials{}, fmt.Errorf("%w: it is not a JSON object", ErrCredentials)
	}
	var (
		nested                                struct{ AccessKeyID, SecretAccessKey, SessionToken string }
		flat, secret, endpoint, api, path, as string
	)
	for name, into := range map[string]any{
		"AccessKey": &nested, "accessKey": &flat, "secretKey": &secret, "url": &endpoint, "api": &api, "path": &path, "assumeRoleArn": &as,
	} {
		if m, ok := members[name]; ok && json.Unmarshal(m, into) != nil {
			return credentials{}, fmt.Errorf("%w: its member %s is of another kind", ErrCredentials, name)
		}
	}
	bad := func(why string) (credentials, error) {
		return credentials{}, fmt.Errorf("%w: %s", ErrCredentials, why)
	}
	_, aws := members["AccessKey"]
	switch {
	case as != "":
		return bad("assumeRoleArn is not supported; give the keys of a user that may write to the bucket")
	case aws && (nested.AccessKeyID == "" || nested.SecretAccessKey == ""):
		return bad("AccessKey.AccessKeyId or AccessKey.SecretAccessKey is missing")
	case aws:
		return credentials{key: nested.AccessKeyID, secret: nested.SecretAccessKey, session: nested.SessionToken}, nil
	case flat == "" || secret == "":
		return bad(`it takes what "aws iam create-access-key" prints, or {"url","accessKey","secretKey"}`)
	case api != "" && !strings.EqualFold(api, "s3v4"):
		return bad("api must be s3v4")
	}
	if endpoint != "" {
		if err := checkEndpoint(endpoint); err != nil {
			return bad("url " + err.Error())
		}
	}
	return credentials{key: flat, secret: secret, endpoint: endpoint, pathStyle: path == "on"}, nil
}

// checkEndpoint holds the address of an S3 to its form: a scheme and a host, nothing else.
func checkEndpoint(endpoint string) error {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return errors.New("must be http:// or https:// and a host")
	case u.User != nil:
		return errors.New("must not hold a user or password")
	case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
		return errors.New("must end behind the host; the bucket has a member of its own")
	}
	return nil
}
