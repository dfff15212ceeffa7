package command

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

const contractsPath = "/v1/data-contracts"

var contractColumns = []column{
	{"DATA CONTRACT", "ref"}, {"STATE", "state"}, {"PUBLIC", "isPublic"}, {"KEY FIELD", "keyField"},
}

// contractPath is the path of a contract: its ref is three segments.
func contractPath(ref string) string {
	parts := strings.Split(ref, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return contractsPath + "/" + strings.Join(parts, "/")
}

// contractRef is the check of a REF argument: a slip here would be another path of the API.
func contractRef(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("takes one REF, such as acme/clicks/1.0.0")
	}
	parts := strings.Split(args[0], "/")
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" || parts[2] == "" {
		return fmt.Errorf("a REF has three parts, handle/name/version, such as acme/clicks/1.0.0; %q has not", args[0])
	}
	return nil
}

func (m *Main) createContract() *cobra.Command {
	var schemaFile, contractFile string
	var public bool
	cmd := &cobra.Command{
		Use: "data-contract REF", Short: "Make a data contract, as a draft", Args: contractRef,
		Long: "Make a data contract from its schema (Avro, JSON) and its contract file: which field is the key field, which fields are personal\n" +
			"and how much, which rules the others keep. It is a draft, to be deleted or put in use by `sluice activate data-contract REF`.",
		Example: "  sluice create data-contract acme/clicks/1.0.0 --schema-definition clicks.avsc --contract-definition clicks.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if schemaFile == "" || contractFile == "" {
				return usagef("--schema-definition and --contract-definition are needed")
			}
			schema, err := os.ReadFile(schemaFile)
			if err != nil {
				return err
			}
			definition, err := os.ReadFile(contractFile)
			if err != nil {
				return err
			}
			body := map[string]json.RawMessage{}
			if err := json.Unmarshal(definition, &body); err != nil {
				return fmt.Errorf("%s is not a JSON object: %w", contractFile, err)
			}
			for member, value := range map[string]any{"ref": args[0], "schema": string(schema), "schemaType": "AVRO", "isPublic": public} {
				if body[member], err = json.Marshal(value); err != nil {
					return err
				}
			}
			c, err := m.authorized()
			if err != nil {
				return err
			}
			defer c.Close()
			answer, err := c.Call(cmd.Context(), http.MethodPost, contractsPath, c.Scope(), body)
			if err != nil {
				return err
			}
			return m.print(answer, contractColumns)
		},
	}
	cmd.Flags().StringVar(&schemaFile, "schema-definition", "", "file of the Avro schema")
	cmd.Flags().StringVar(&contractFile, "contract-definition", "", "file of the contract: keyField, piiFields or fieldMetadata, validations, dataSubjectField")
	cmd.Flags().BoolVar(&public, "public", false, "let every project use it; it can never be deleted then")
	return cmd
}

func (m *Main) listContracts() *cobra.Command {
	return m.reader("data-contract", "List the data contracts the project can use", contractsPath, contractColumns)
}

func (m *Main) getContract() *cobra.Command {
	cmd := m.named("data-contract REF", "Show a data contract", http.MethodGet, contractPath, contractColumns)
	cmd.Args = contractRef
	return cmd
}

func (m *Main) deleteContract() *cobra.Command {
	cmd := m.named("data-contract REF", "Delete a data contract that was never in use", http.MethodDelete, contractPath, contractColumns)
	cmd.Args = contractRef
	return cmd
}

// setContractState is activate and archive: the verb is the API's too.
func (m *Main) setContractState(verb, short string) *cobra.Command {
	path := func(ref string) string { return contractPath(ref) + "/" + verb }
	cmd := m.named("data-contract REF", short, http.MethodPost, path, contractColumns)
	cmd.Args = contractRef
	cmd.Example = "  sluice " + verb + " data-contract acme/clicks/1.0.0"
	return cmd
}
