package command

import (
	"net/http"
	"net/url"
	"path/filepath"

	"github.com/spf13/cobra"
)

const sinksPath = "/v1/sinks"

var sinkColumns = []column{
	{"SINK", "sinkName"}, {"TYPE", "sinkType"}, {"BUCKET", "bucketName"}, {"ENDPOINT", "endpoint"}, {"REGION", "region"},
}

func sinkPath(name string) string { return sinksPath + "/" + url.PathEscape(name) }

// sinks are the commands that begin with the noun.
func (m *Main) sinks() *cobra.Command {
	cmd := &cobra.Command{Use: "sinks", Short: "Buckets and folders to export to", Args: cobra.ArbitraryArgs, RunE: m.group}
	list, get, del := m.listSinks(), m.getSink(), m.deleteSink()
	list.Use, list.Aliases, get.Use, del.Use = "list", nil, "get NAME", "delete NAME..."
	update := m.updateSink()
	update.Use = "update NAME"
	create := m.createSink()
	create.Use = "create"
	cmd.AddCommand(create, list, get, update, del)
	return cmd
}

// createSink is `create sink`, with a command below it for each type.
func (m *Main) createSink() *cobra.Command {
	cmd := &cobra.Command{Use: "sink", Short: "Make a sink: s3, gcs or folder", Args: cobra.ArbitraryArgs, RunE: m.group}
	cmd.AddCommand(m.createS3(), m.createGCS(), m.createFolder())
	return cmd
}

func (m *Main) createS3() *cobra.Command {
	var bucket, file, endpoint, region string
	var pathStyle bool
	cmd := &cobra.Command{
		Use: "s3 NAME", Short: "Make a sink of a bucket of AWS S3, or of a server that speaks its protocol", Args: cobra.ExactArgs(1),
		Long: "Make a sink of a bucket. The credentials file is what `aws iam create-access-key` prints, or {\"url\",\"accessKey\",\"secretKey\"}\n" +
			"of an S3-compatible server. Its user needs the rights s3:PutObject and s3:GetObject, and s3:GetBucketLocation without --region.\n" +
			"An empty object is written to the bucket, to see that it may be, and deleted again where that is allowed.",
		Example: "  sluice sinks create s3 s3-bart --bucket-name my-bucket --credentials-file s3.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if bucket == "" || file == "" {
				return usagef("--bucket-name and --credentials-file are needed")
			}
			credentials, err := readGiven(file)
			if err != nil {
				return err
			}
			body := map[string]any{"sinkType": "S3", "sinkName": args[0], "bucketName": bucket, "credentials": string(credentials)}
			if endpoint != "" {
				body["endpoint"] = endpoint
			}
			if region != "" {
				body["region"] = region
			}
			if pathStyle {
				body["pathStyle"] = true
			}
			return m.post(cmd, sinksPath, body, sinkColumns)
		},
	}
	f := cmd.Flags()
	f.StringVar(&bucket, "bucket-name", "", "the bucket (-bn)")
	f.StringVar(&file, "credentials-file", "", "file with the credentials (-cf)")
	f.StringVar(&endpoint, "endpoint", "", "where the S3 is, such as https://minio.example.com (default: what the credentials file says, else AWS)")
	f.StringVar(&region, "region", "", "the bucket's region (default: it is asked for)")
	f.BoolVar(&pathStyle, "path-style", false, "put the bucket in the path of every address, not in its host")
	return cmd
}

func (m *Main) createFolder() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use: "folder NAME", Short: "Make a sink of a directory of the server's machine", Args: cobra.ExactArgs(1),
		Long: "Make a sink of a directory. A relative one lies in the project's own part of the server's data folder, below export; an\n" +
			"absolute one takes the admin token. Without --bucket-name it is a relative one with the sink's name.",
		Example: "  sluice sinks create folder landing --bucket-name /var/lib/landing",
		RunE: func(cmd *cobra.Command, args []string) error {
			at := first(dir, args[0])
			return m.post(cmd, sinksPath, map[string]any{"sinkType": "FOLDER", "sinkName": args[0], "bucketName": filepath.Clean(at)}, sinkColumns)
		},
	}
	cmd.Flags().StringVar(&dir, "bucket-name", "", "the directory on the server's machine")
	cmd.Flags().StringVar(&dir, "folder", "", "the same")
	return cmd
}

func (m *Main) listSinks() *cobra.Command {
	return m.reader("sink", "List the sinks of the project", sinksPath, sinkColumns)
}

func (m *Main) getSink() *cobra.Command {
	return m.named("sink NAME", "Show a sink, without its credentials", http.MethodGet, sinkPath, sinkColumns)
}

func (m *Main) updateSink() *cobra.Command {
	var file, endpoint, region string
	var pathStyle bool
	cmd := &cobra.Command{
		Use: "sink NAME", Short: "Change how a sink's bucket is reached, for example by new credentials", Args: cobra.ExactArgs(1),
		Long: "Change how a sink's bucket is reached. Its exporters go on where they are. Type and bucket stay: for another bucket make another\n" +
			"sink. An empty object is written to the bucket first; where it does not take it, nothing is changed.",
		Example: "  sluice update sink s3-bart --credentials-file s3.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]any{}
			if file != "" {
				credentials, err := readGiven(file)
				if err != nil {
					return err
				}
				body["credentials"] = string(credentials)
			}
			for flag, set := range map[string]struct {
				member string
				value  any
			}{"endpoint": {"endpoint", endpoint}, "region": {"region", region}, "path-style": {"pathStyle", pathStyle}} {
				if cmd.Flags().Changed(flag) {
					body[set.member] = set.value
				}
			}
			if len(body) == 0 {
				return usagef("nothing to change: see `sluice update sink --help` for what can be")
			}
			return m.show(cmd, http.MethodPatch, sinkPath(args[0]), false, body, sinkColumns)
		},
	}
	f := cmd.Flags()
	f.StringVar(&file, "credentials-file", "", "file with new credentials (-cf)")
	f.StringVar(&endpoint, "endpoint", "", "another address of the same bucket")
	f.StringVar(&region, "region", "", "the bucket's region")
	f.BoolVar(&pathStyle, "path-style", false, "put the bucket in the path of every address, not in its host")
	return cmd
}

func (m *Main) deleteSink() *cobra.Command {
	return m.remover(removal{
		use: "sink NAME", short: "Delete sinks; what was written there stays", columns: sinkColumns,
		path: below(sinkPath), recursive: "delete the exporters that write to them too", rows: treeRows("sink"),
	})
}

// post makes a resource and prints the answer.
func (m *Main) post(cmd *cobra.Command, path string, body any, columns []column) error {
	return m.show(cmd, http.MethodPost, path, false, body, columns)
}
