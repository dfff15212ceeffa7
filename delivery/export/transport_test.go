package export_test

import (
	"errors"
	"strings"
	"testing"

	"sluice/delivery/export"
)

// Nobody asks a cloud's machine for its rights by way of a sink. What is refused here is never connected to.
func TestNoStoreAtLinkLocalAddresses(t *testing.T) {
	for _, host := range []string{"169.254.169.254", "[fe80::1]", "[::ffff:169.254.169.254]", "[fd00:ec2::254]"} {
		targets := map[string]export.Target{
			"S3":               {Type: export.TypeS3, Bucket: "bucket", Endpoint: "http://" + host, Region: "us-east-1", PathStyle: true, Credentials: []byte(keyFile)},
			"GCS":              {Type: export.TypeGCS, Bucket: "bucket", Endpoint: "http://" + host, Credentials: accountFile(t, tokenServer(t, goodToken).URL)},
			"who gives tokens": {Type: export.TypeGCS, Bucket: "bucket", Endpoint: "http://127.0.0.1:1", Credentials: accountFile(t, "http://"+host)},
		}
		for name, target := range targets {
			s, err := openStore(target)
			if err == nil {
				err = s.Probe(t.Context(), "")
				s.Close()
			}
			var refused *export.Refused
			if !errors.As(err, &refused) || !strings.Contains(refused.Reason, "no store is at a link-local address") {
				t.Errorf("%s at %s: %v", name, host, err)
			}
		}
	}
}

func openStore(t export.Target) (export.Store, error) {
	if t.Type == export.TypeS3 {
		return export.OpenS3(t)
	}
	return export.OpenGCS(t)
}
