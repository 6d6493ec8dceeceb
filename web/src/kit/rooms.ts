/** Which rooms a teacher left in: `?rooms=2,3`, by their numbers or names. */

/** The rooms that an address names, in the page's order; all of them where it names none that is there. */
export function roomsShown<Room extends string>(search: string, all: readonly Room[]): readonly Room[] {
  const named = (new URLSearchParams(search).get('rooms') ?? '').split(',').map((name) => name.trim())
  const shown = all.filter((room, place) => named.includes(room) || named.includes(String(place + 1)))
  return shown.length > 0 ? shown : all
}
