package command

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/spf13/cobra"
)

const contractsPath = "/v1/data-contracts"

var contractColumns = []column{
	{"DATA CONTRACT", "ref"}, {"STATE", "state"}, {"PUBLIC", "isPublic"}, {"KEY FIELD", "keyField"},
	{"# PII FIELDS", "fieldMetadata.# or piiFields.@keys.#"}, {"# VALIDATIONS", "validations.#"},
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
	var files contractFiles
	cmd := &cobra.Command{
		Use: "data-contract REF", Short: "Make a data contract, as a draft", Args: contractRef,
		Long: "Make a data contract from its schema (Avro, JSON Schema or Simple Schema) and its contract file: which field is the key field,\n" +
			"which fields are personal and how much, which rules the others keep. It is a draft, to be changed, deleted or put in use by\n" +
			"`sluice activate data-contract REF`.",
		Example: "  sluice create data-contract acme/clicks/1.0.0 --schema-definition clicks.avsc --contract-definition clicks.json",
		RunE: func(cmd *cobra.Command, args []string) error {
			if files.schema == "" || files.contract == "" {
				return usagef("--schema-definition and --contract-definition are needed")
			}
			body, err := files.body(cmd)
			if err != nil {
				return err
			}
			if body["ref"], err = json.Marshal(args[0]); err != nil {
				return err
			}
			return m.show(cmd, http.MethodPost, contractsPath, false, body, contractColumns)
		},
	}
	files.flags(cmd)
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
	return m.remover(removal{
		use: "data-contract REF", short: "Delete data contracts that were never in use", columns: contractColumns,
		path: below(contractPath), check: contractRef,
	})
}

// setContractState is activate and archive: the verb is the API's too.
func (m *Main) setContractState(verb, short string) *cobra.Command {
	path := func(ref string) string { return contractPath(ref) + "/" + verb }
	cmd := m.named("data-contract REF", short, http.MethodPost, path, contractColumns)
	cmd.Args = contractRef
	cmd.Example = "  sluice " + verb + " data-contract acme/clicks/1.0.0"
	return cmd
}
