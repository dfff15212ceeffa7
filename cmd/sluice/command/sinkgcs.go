package command

import (
	"github.com/spf13/cobra"
)

func (m *Main) createGCS() *cobra.Command {
	var bucket, file, endpoint string
	cmd := &cobra.Command{
		Use: "gcs NAME", Aliases: []string{"gcloud"}, Short: "Make a sink of a bucket of Google Cloud Storage", Args: cobra.ExactArgs(1),
		Long: "Make a sink of a bucket. The credentials file is the JSON key file of a service account, which needs the rights\n" +
			"storage.objects.create and storage.objects.get. An empty object is written to the bucket, to see that it may be, and deleted\n" +
			"again where that is allowed.",
		Example: "  sluice sinks create gcs archive --bucket-name my-bucket --credentials-file service-account.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if bucket == "" || file == "" {
				return usagef("--bucket-name and --credentials-file are needed")
			}
			credentials, err := readGiven(file)
			if err != nil {
				return err
			}
			body := map[string]any{"sinkType": "GCLOUD", "sinkName": args[0], "bucketName": bucket, "credentials": string(credentials)}
			if endpoint != "" {
				body["endpoint"] = endpoint
			}
			return m.post(cmd, sinksPath, body, sinkColumns)
		},
	}
	f := cmd.Flags()
	f.StringVar(&bucket, "bucket-name", "", "the bucket (-bn)")
	f.StringVar(&file, "credentials-file", "", "file with the credentials (-cf)")
	f.StringVar(&endpoint, "endpoint", "", "where the storage is, if it is not Google's")
	return cmd
}
