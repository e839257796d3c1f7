// Readings over time as lines, interrupted where there are none. Pure.

/** A reading; null where the line is interrupted. */
export interface Point {
  at: number;
  value: number | null;
}

export interface Line {
  /** A name of ours, or a path of the endpoint's: hostile text. */
  name: string;
  points: Point[];
  /** When it is at its limit if it goes on as now. */
  forecast?: { from: Point; fullAt: number; percentSure: number | null };
}

/** Points with a null wherever two are further apart than `gapMs`. */
export function interrupted(points: Point[], gapMs: number): Point[] {
  return points.flatMap((point, index) => {
    const before = points[index - 1];
    if (!before || point.at - before.at <= gapMs) return [point];
    return [{ at: (before.at + point.at) / 2, value: null }, point];
  });
}

/** From where to where a line is interrupted. */
export function gaps(points: Point[]): [number, number][] {
  const found: [number, number][] = [];
  points.forEach((point, index) => {
    const [before, after] = [points[index - 1], points[index + 1]];
    if (point.value === null && before && after) found.push([before.at, after.at]);
  });
  return found;
}

/** The reading nearest to a moment, if it is one of a line that goes through there. */
export function nearest(points: Point[], at: number): Point | undefined {
  return points.reduce<Point | undefined>((best, point) => (best && Math.abs(best.at - at) <= Math.abs(point.at - at) ? best : point), undefined);
}

/** Marks of an axis of bytes from nought up to `most` or beyond it: steps of a power of two, four or fewer. */
export function binaryTicks(most: number): number[] {
  const step = 2 ** Math.max(0, Math.ceil(Math.log2(Math.max(4, most) / 4)));
  const count = Math.max(1, Math.ceil(most / step));
  return Array.from({ length: count + 1 }, (_, index) => index * step);
}
