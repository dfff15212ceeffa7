package auth

import (
	"encoding/json"
	"fmt"
)

type jwk struct {
	KeyType   string `json:"kty"`
	Use       string `json:"use"`
	Algorithm string `json:"alg"`
	ID        string `json:"kid"`
	Modulus   string `json:"n"`
	Exponent  string `json:"e"`
}

// discovery is the part of OpenID Connect Discovery 1.0 §3 that a service with client credentials alone has.
type discovery struct {
	Issuer            string   `json:"issuer"`
	TokenEndpoint     string   `json:"token_endpoint"`
	JWKS              string   `json:"jwks_uri"`
	GrantTypes        []string `json:"grant_types_supported"`
	ResponseTypes     []string `json:"response_types_supported"`
	SubjectTypes      []string `json:"subject_types_supported"`
	Scopes            []string `json:"scopes_supported"`
	AuthMethods       []string `json:"token_endpoint_auth_methods_supported"`
	SigningAlgorithms []string `json:"id_token_signing_alg_values_supported"`
	Claims            []string `json:"claims_supported"`
}

// JWKS is the key set (RFC 7517) that verifies our tokens, newest key first, as JSON. It is shared: do not change it.
func (t *Tokens) JWKS() []byte { return t.jwks }

// Discovery is the OpenID provider's configuration as JSON, its addresses made from the issuer's. It is shared: do not change it.
func (t *Tokens) Discovery() []byte { return t.discovery }

func (t *Tokens) document() error {
	set := struct {
		Keys []jwk `json:"keys"`
	}{Keys: make([]jwk, 0, len(t.order))}
	for _, id := range t.order {
		public := &t.keys[id].PublicKey
		set.Keys = append(set.Keys, jwk{
			KeyType: "RSA", Use: "sig", Algorithm: algorithm, ID: id,
			Modulus: modulus(public), Exponent: exponent(public),
		})
	}
	var err error
	if t.jwks, err = json.Marshal(set); err != nil {
		return fmt.Errorf("encoding the key set: %w", err)
	}
	const protocol = "/protocol/openid-connect"
	t.discovery, err = json.Marshal(discovery{
		Issuer:            t.issuer,
		TokenEndpoint:     t.issuer + protocol + "/token",
		JWKS:              t.issuer + protocol + "/certs",
		GrantTypes:        []string{"client_credentials", "refresh_token"},
		ResponseTypes:     []string{"token"},
		SubjectTypes:      []string{"public"},
		Scopes:            []string{"offline_access"},
		AuthMethods:       []string{"client_secret_basic", "client_secret_post"},
		SigningAlgorithms: []string{algorithm},
		Claims:            []string{"iss", "sub", "clientId", "iat", "exp", "jti"},
	})
	if err != nil {
		return fmt.Errorf("encoding the discovery document: %w", err)
	}
	return nil
}
