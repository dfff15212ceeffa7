package export

import (
	"fmt"
	"path/filepath"
	"strings"
)

// The types of sinks there are, as users write them.
const (
	TypeS3     = "S3"
	TypeFolder = "FOLDER"
	TypeGCS    = "GCLOUD"
)

// Types lists them for messages.
const Types = TypeS3 + ", " + TypeGCS + " and " + TypeFolder

// Target says where a sink is.
type Target struct {
	Project     string // whose sink it is, by name
	Type        string // TypeS3, TypeGCS or TypeFolder
	Bucket      string // of an S3 its bucket, of a folder the directory
	Endpoint    string // of an S3: scheme and host; empty: what the credentials file names, else AWS
	Region      string // of an S3; empty: it is asked for
	PathStyle   bool   // of an S3: the bucket stands in the path of every address
	Credentials []byte // of an S3: a credentials file
}

// open opens the Store of a target. folders is where relative directories lie, those of each project apart.
func (t Target) open(folders string) (Store, error) {
	switch t.Type {
	case TypeS3:
		return OpenS3(t)
	case TypeGCS:
		return OpenGCS(t)
	case TypeFolder:
		if filepath.IsAbs(t.Bucket) {
			return OpenFolder(t.Bucket)
		}
		return openBelow(filepath.Join(folders, t.Project), t.Bucket)
	}
	return nil, &Refused{Reason: "there is no sink type " + t.Type}
}

// CheckFolder holds a directory to the rule of who may export where: any absolute path for one who may administer the gateway, for others
// only relative ones, which lie below the data folder, in the project's own part. The error wraps ErrFolder.
func CheckFolder(dir string, administers bool) error {
	bad := func(why string) error { return fmt.Errorf("%w: %s", ErrFolder, why) }
	switch {
	case dir == "":
		return bad("it is missing")
	case strings.ContainsRune(dir, 0):
		return bad("it has a zero byte")
	case filepath.IsAbs(dir) && !administers:
		return bad("an absolute path takes the admin token; a relative one lies in the project's own folder of the server's data")
	case !filepath.IsAbs(dir) && !filepath.IsLocal(dir):
		return bad("a relative one must not lead out of the project's own folder")
	}
	return nil
}
