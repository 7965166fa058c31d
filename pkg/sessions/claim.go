// SPDX-License-Identifier: Apache-2.0

package sessions

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// A claim code is printed with a purchase: its holder may move the purchase to another
// device, again and again. It has 60 random bits in Crockford's base 32, which takes
// letters for similar digits, and only its hash is stored.
const (
	claimAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	claimLetters  = 12
	claimGroup    = 4
)

// ClaimHash is what the store keeps of a claim code.
type ClaimHash [sha256.Size]byte

// String is the hash in hexadecimal.
func (h ClaimHash) String() string { return hex.EncodeToString(h[:]) }

// ParseClaimHash reads what String writes.
func ParseClaimHash(text string) (hash ClaimHash, err error) {
	raw, err := hex.DecodeString(text)
	if err != nil || len(raw) != len(hash) {
		return hash, Invalidf("claim_hash", "%q is not a SHA-256 in hexadecimal", Shorten(text))
	}
	return ClaimHash(raw), nil
}

// NewClaimCode returns a random code, such as 7K3M-PQ2R-XW9T. It is the only copy: the store
// gets its hash.
func NewClaimCode() string {
	var random [claimLetters]byte
	_, _ = rand.Read(random[:]) // never fails (Go 1.24)
	var code strings.Builder
	for i, b := range random {
		if i > 0 && i%claimGroup == 0 {
			code.WriteByte('-')
		}
		code.WriteByte(claimAlphabet[int(b)%len(claimAlphabet)])
	}
	return code.String()
}

// HashClaim takes a code as people type it.
func HashClaim(code string) ClaimHash {
	plain := strings.NewReplacer("-", "", " ", "", "O", "0", "I", "1", "L", "1").Replace(strings.ToUpper(code))
	return sha256.Sum256([]byte(plain))
}
