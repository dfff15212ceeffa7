package config

// Nearest gives the word that the fewest single-letter changes turn name into, or "" when none is near enough to be what was meant
// (more than a third of the letters would change). For naming what a user may have meant by an unknown setting, flag or command.
func Nearest(name string, words []string) string {
	best, fewest := "", len(name)/3+2
	for _, w := range words {
		if d := distance(name, w); d < fewest {
			best, fewest = w, d
		}
	}
	return best
}

// distance is Levenshtein's: how many letters must be put in, taken out or changed. One row of the table is kept.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
