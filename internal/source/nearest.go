package source

// Nearest is the candidate with the smallest edit distance from name, if that is small enough to be a slip; else "".
func Nearest(name string, candidates []string) string {
	best, distance := "", max(1, min(3, len(name)/3))+1
	if len(name) > 64 {
		return ""
	}
	for _, c := range candidates {
		if c == name || len(c)-len(name) >= distance || len(name)-len(c) >= distance {
			continue
		}
		if n := edits(name, c); n < distance {
			best, distance = c, n
		}
	}
	return best
}

// edits is the number of characters to insert, delete, replace or swap with the next one to get from a to b.
func edits(a, b string) int {
	two, one := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range one {
		one[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(one[j]+1, row[j-1]+1, one[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], two[j-2]+1)
			}
		}
		two, one = one, row
	}
	return one[len(b)]
}
