package balance

// queue is a priority queue of the numbers 0..n-1: least key first, first come first among equals. Any member can be
// taken out, each operation is O(log n), and none allocates after newQueue.
type queue struct {
	heap  []int32
	place []int32 // where a number stands in heap; -1: not in
	key   []uint64
	seq   []uint64 // arrival, which breaks ties
	count uint64
}

func newQueue(n int) *queue {
	q := &queue{heap: make([]int32, 0, n), place: make([]int32, n), key: make([]uint64, n), seq: make([]uint64, n)}
	for i := range q.place {
		q.place[i] = -1
	}
	return q
}

func (q *queue) len() int       { return len(q.heap) }
func (q *queue) has(i int) bool { return q.place[i] >= 0 }
func (q *queue) first() int     { return int(q.heap[0]) }
func (q *queue) minKey() uint64 { return q.key[q.heap[0]] }
func (q *queue) less(a, b int32) bool {
	if q.key[a] != q.key[b] {
		return q.key[a] < q.key[b]
	}
	return q.seq[a] < q.seq[b]
}

// push adds i, which must not be in.
func (q *queue) push(i int, key uint64) {
	q.count++
	q.key[i], q.seq[i], q.place[i] = key, q.count, int32(len(q.heap))
	q.heap = append(q.heap, int32(i))
	q.up(len(q.heap) - 1)
}

// update gives i, which must be in, another key and keeps its arrival.
func (q *queue) update(i int, key uint64) {
	q.key[i] = key
	q.up(int(q.place[i]))
	q.down(int(q.place[i]))
}

// remove takes i out, if it is in.
func (q *queue) remove(i int) {
	at := int(q.place[i])
	if at < 0 {
		return
	}
	last := len(q.heap) - 1
	q.swap(at, last)
	q.heap = q.heap[:last]
	q.place[i] = -1
	if at < last {
		q.up(at)
		q.down(at)
	}
}

func (q *queue) swap(a, b int) {
	h := q.heap
	h[a], h[b] = h[b], h[a]
	q.place[h[a]], q.place[h[b]] = int32(a), int32(b)
}

func (q *queue) up(at int) {
	for at > 0 {
		parent := (at - 1) / 2
		if !q.less(q.heap[at], q.heap[parent]) {
			return
		}
		q.swap(at, parent)
		at = parent
	}
}

func (q *queue) down(at int) {
	for {
		least := 2*at + 1
		if least >= len(q.heap) {
			return
		}
		if r := least + 1; r < len(q.heap) && q.less(q.heap[r], q.heap[least]) {
			least = r
		}
		if !q.less(q.heap[least], q.heap[at]) {
			return
		}
		q.swap(at, least)
		at = least
	}
}
