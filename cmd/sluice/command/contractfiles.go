package command

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"
	"github.com/tidwall/gjson"
)

// contractFiles are the options that a data contract is made and changed from.
type contractFiles struct {
	schema, schemaType, contract string
	public                       bool
}

func (f *contractFiles) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.schema, "schema-definition", "", "file of the schema: Avro, JSON Schema, or Simple Schema in YAML or JSON")
	cmd.Flags().StringVar(&f.schemaType, "schema-type", "", "AVRO, JSONSCHEMA or SIMPLE, where the file does not tell")
	cmd.Flags().StringVar(&f.contract, "contract-definition", "", "file of the contract: keyField, piiFields or fieldMetadata, validations, dataSubjectField, metadata")
	cmd.Flags().BoolVar(&f.public, "public", false, "let every project use it; it can never be deleted then")
}

// body is the members of a request as far as the options say them; those of the contract file stand where no option
// says otherwise.
func (f *contractFiles) body(cmd *cobra.Command) (map[string]json.RawMessage, error) {
	body := map[string]json.RawMessage{}
	if f.contract != "" {
		definition, err := readGiven(f.contract)
		if err != nil {
			return nil, err
		}
		if err := json.Unmarshal(definition, &body); err != nil {
			return nil, fmt.Errorf("%s is not a JSON object: %w", f.contract, err)
		}
		if body == nil {
			return nil, fmt.Errorf("%s is not a JSON object: it is null", f.contract)
		}
	}
	said := map[string]any{}
	if f.schema != "" {
		schema, err := readGiven(f.schema)
		if err != nil {
			return nil, err
		}
		said["schema"] = string(schema)
	}
	if f.schemaType != "" {
		said["schemaType"] = f.schemaType
	}
	if cmd.Flags().Changed("public") {
		said["isPublic"] = f.public
	}
	for member, value := range said {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, err
		}
		body[member] = text
	}
	return body, nil
}

func (m *Main) updateContract() *cobra.Command {
	var files contractFiles
	cmd := &cobra.Command{
		Use: "data-contract REF", Short: "Change a draft, or the metadata of a data contract", Args: contractRef,
		Long: "Change a data contract: what the files say is merged into it. A draft can be changed in all but its REF; once it was in use\n" +
			"only its metadata can.",
		Example: "  sluice update data-contract acme/clicks/1.0.0 --contract-definition clicks.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := files.body(cmd)
			if err != nil {
				return err
			}
			if len(body) == 0 {
				return usagef("say what to change: --schema-definition, --contract-definition or --public")
			}
			return m.show(cmd, http.MethodPatch, contractPath(args[0]), false, body, contractColumns)
		},
	}
	files.flags(cmd)
	return cmd
}

// maxCheckedEvent bounds the file that is checked, in bytes: the server takes no more either.
const maxCheckedEvent = 1 << 20

func (m *Main) checkContract() *cobra.Command {
	return &cobra.Command{
		Use: "data-contract REF FILE", Short: "Say whether an event would be taken, without sending it",
		Long: "Say whether an event would be taken under a data contract, whatever the contract's state, and why not. The file holds one event\n" +
			"as JSON or as an Avro datum; - is the standard input.",
		Example: "  sluice check data-contract strmprivacy/clickstream/1.0.0 event.json",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("takes a REF and the FILE of an event")
			}
			return contractRef(cmd, args[:1])
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			in := m.Stdin
			if args[1] != "-" {
				f, err := os.Open(args[1])
				if err != nil {
					return err
				}
				defer f.Close()
				in = f
			}
			event, err := io.ReadAll(io.LimitReader(in, maxCheckedEvent+1))
			switch {
			case err != nil:
				return err
			case len(event) == 0 || len(event) > maxCheckedEvent:
				return usagef("%s has to hold one event of 1 to %d bytes", args[1], maxCheckedEvent)
			}
			c, err := m.authorized()
			if err != nil {
				return err
			}
			defer c.Close()
			resp, err := c.Send(cmd.Context(), http.MethodPost, contractPath(args[0])+"/check?"+c.Scope().Encode(), bytes.NewReader(event),
				http.Header{"Content-Type": {"application/octet-stream"}})
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			answer, err := io.ReadAll(io.LimitReader(resp.Body, maxCheckedEvent))
			if err != nil {
				return err
			}
			if said := gjson.GetBytes(answer, "message").String(); said != "" {
				return fmt.Errorf("the event is refused: %s", said)
			}
			return m.print(answer, []column{{"VALID", "valid"}})
		},
	}
}

var schemaColumns = []column{{"SCHEMA", "ref"}, {"TYPE", "schemaType"}, {"STATE", "state"}, {"PUBLIC", "isPublic"}, {"FINGERPRINT", "fingerprint"}}

func (m *Main) listSchemas() *cobra.Command {
	return m.reader("schema", "List the schemas of the data contracts the project can use", schemasPath, schemaColumns)
}

func (m *Main) getSchema() *cobra.Command {
	path := func(ref string) string { return schemasPath + contractPath(ref)[len(contractsPath):] }
	cmd := m.named("schema REF", "Show the schema of a data contract", http.MethodGet, path, schemaColumns)
	cmd.Args = contractRef
	return cmd
}

const schemasPath = "/v1/schemas"
