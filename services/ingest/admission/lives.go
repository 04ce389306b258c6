package admission

// Believed reports whether what the writer says of an event counts: life is the
// incarnation of the writer's streams that spoke of the event last. After a
// restore of the writer an event may be open there that had ended in the life
// that is lost, and facts of that life may arrive late: what the newer life says
// counts all the same. Who was not contradicted is believed in any life, since
// a copy that is gone back to may be of the life before the last.
func Believed(ended bool, life, incarnation int64) bool {
	return !ended || incarnation > life
}
