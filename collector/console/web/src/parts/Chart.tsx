// Lines over time, drawn as SVG from files of style alone: with units, with the moment under the
// pointer in the reader's zone and in UTC, with gaps left as gaps, and the same as a table.

import { scaleLinear, scaleTime } from 'd3-scale';
import { line as path } from 'd3-shape';
import { type PointerEvent, useEffect, useRef, useState } from 'react';

import { binaryTicks, gaps, type Line, nearest, type Point } from '../words/line';
import { moment, tick, utc } from '../words/time';
import { ChartTable } from './ChartTable';
import { Foreign } from './Foreign';

interface Props {
  title: string;
  lines: Line[];
  /** From when to when, milliseconds since 1970. */
  span: [number, number];
  /** A value with its unit. */
  words: (value: number) => string;
  /** The least that the axis reaches to. */
  least?: number;
  /** Whether it counts bytes: its axis goes by powers of two. */
  isBinary?: boolean;
  /** What must not be passed. */
  limit?: { value: number; words: string } | undefined;
}

const HEIGHT = 176;

/** So near to a reading, as a share of the whole, the pointer means it. */
const REACH = 0.02;

const MARGIN = { top: 10, right: 14, bottom: 24, left: 62 };

export function Chart({ title, lines, span, words, least = 0, isBinary = false, limit }: Props) {
  const frame = useRef<HTMLDivElement>(null);
  const [width, setWidth] = useState(0);
  const [at, setAt] = useState<number | null>(null);
  useEffect(() => {
    const watch = new ResizeObserver(([entry]) => setWidth(Math.round(entry?.contentRect.width ?? 0)));
    if (frame.current) watch.observe(frame.current);
    return () => watch.disconnect();
  }, []);
  const values = lines.flatMap((line) => line.points.flatMap((point) => (point.value === null ? [] : [point.value])));
  const most = Math.max(least, limit?.value ?? 0, ...values);
  const x = scaleTime().domain(span).range([MARGIN.left, Math.max(MARGIN.left + 1, width - MARGIN.right)]);
  const marks = isBinary ? binaryTicks(most) : scaleLinear().domain([0, most === 0 ? 1 : most]).nice(4).ticks(4);
  const y = scaleLinear().domain([0, marks.at(-1) ?? 1]).range([HEIGHT - MARGIN.bottom, MARGIN.top]);
  const draw = path<Point>()
    .defined((point) => point.value !== null)
    .x((point) => x(point.at))
    .y((point) => y(point.value ?? 0));
  const hover = (event: PointerEvent<SVGSVGElement>) => {
    const left = event.currentTarget.getBoundingClientRect().left;
    setAt(x.invert(event.clientX - left).getTime());
  };
  // All lines of a chart are told together, so that the gaps of the first are those of all.
  const quiet = gaps(lines[0]?.points ?? []);
  const newest = lines.map((line) => line.points.findLast((point) => point.value !== null)?.value ?? null);
  const summary = lines.map((line, index) => `${line.name}: ${newest[index] == null ? 'not known' : words(newest[index])}`).join('; ');
  return (
    <figure className="chart">
      <figcaption>
        <span className="chart-title">{title}</span>
        <span className="chart-now">
          {lines.map((line, index) => (
            <span key={line.name} className={`chart-key line-${index}`}>
              {lines.length > 1 ? <Foreign text={line.name} max={32} /> : null} <strong>{newest[index] == null ? '—' : words(newest[index])}</strong>
            </span>
          ))}
        </span>
      </figcaption>
      <div ref={frame} className="chart-frame">
        <svg width={width} height={HEIGHT} role="img" aria-label={`${title}. Now ${summary}`} onPointerMove={hover} onPointerDown={hover} onPointerLeave={() => setAt(null)}>
          {marks.map((value) => (
            <g key={value} transform={`translate(0 ${y(value)})`}>
              <line className="chart-grid" x1={MARGIN.left} x2={Math.max(MARGIN.left, width - MARGIN.right)} />
              <text className="chart-tick" x={MARGIN.left - 8} dy="0.32em" textAnchor="end">
                {words(value)}
              </text>
            </g>
          ))}
          {x.ticks(Math.max(2, Math.floor(width / 110))).map((value) => (
            <text key={value.getTime()} className="chart-tick" x={x(value)} y={HEIGHT - 6} textAnchor="middle">
              {tick(value, span[1] - span[0])}
            </text>
          ))}
          {quiet.map(([from, to]) => (
            <rect key={from} className="chart-gap" x={x(from)} y={MARGIN.top} width={Math.max(0, x(to) - x(from))} height={HEIGHT - MARGIN.top - MARGIN.bottom}>
              <title>Nothing was told from {moment(new Date(from).toISOString())} to {moment(new Date(to).toISOString())}</title>
            </rect>
          ))}
          {limit ? (
            <g className="chart-limit">
              <line x1={MARGIN.left} x2={Math.max(MARGIN.left, width - MARGIN.right)} y1={y(limit.value)} y2={y(limit.value)} />
              <text x={Math.max(MARGIN.left, width - MARGIN.right)} y={y(limit.value)} dy={y(limit.value) < 24 ? '1.2em' : '-0.4em'} textAnchor="end">
                {limit.words}
              </text>
            </g>
          ) : null}
          {lines.map((line, index) => (
            <g key={line.name} className={`chart-line line-${index}`}>
              <path d={draw(line.points) ?? ''} />
              {alone(line.points).map((point) => (
                <circle key={point.at} cx={x(point.at)} cy={y(point.value ?? 0)} r={1.8} />
              ))}
              {line.forecast ? <path className="forecast" d={draw(ahead(line.forecast, span[1])) ?? ''} /> : null}
            </g>
          ))}
          {at === null ? null : <line className="chart-cursor" x1={x(at)} x2={x(at)} y1={MARGIN.top} y2={HEIGHT - MARGIN.bottom} />}
        </svg>
        {at === null ? null : <Under at={at} reach={(span[1] - span[0]) * REACH} lines={lines} words={words} left={x(at)} width={width} />}
      </div>
      <ChartTable title={title} lines={lines} words={words} />
    </figure>
  );
}

/** Readings with nothing beside them, which no line would show. */
function alone(points: Point[]): Point[] {
  const isNone = (point: Point | undefined) => point === undefined || point.value === null;
  return points.filter((point, index) => point.value !== null && isNone(points[index - 1]) && isNone(points[index + 1]));
}

/** The way on, as far as the chart goes. */
function ahead({ from, fullAt }: NonNullable<Line['forecast']>, until: number): Point[] {
  const end = Math.min(fullAt, until);
  const share = fullAt > from.at ? (end - from.at) / (fullAt - from.at) : 1;
  const value = (from.value ?? 0) + (100 - (from.value ?? 0)) * share;
  return end > from.at ? [from, { at: end, value }] : [];
}

interface UnderProps {
  at: number;
  reach: number;
  lines: Line[];
  words: (value: number) => string;
  left: number;
  width: number;
}

/** What was told nearest to the pointer. */
function Under({ at, reach, lines, words, left, width }: UnderProps) {
  const found = lines.map((line) => {
    const point = nearest(line.points, at);
    return point && Math.abs(point.at - at) <= reach ? point : undefined;
  });
  const when = found.find((point) => point !== undefined)?.at ?? at;
  const iso = new Date(when).toISOString();
  const isRight = left > width / 2;
  return (
    <div className="chart-under" style={isRight ? { right: width - left + 10 } : { left: left + 10 }}>
      <span className="chart-when">{moment(iso)}</span>
      <span className="chart-utc">{utc(iso)}</span>
      {lines.map((line, index) => {
        const value = found[index]?.value;
        return (
          <span key={line.name} className={`chart-key line-${index}`}>
            <Foreign text={line.name} max={28} /> <strong>{value === null || value === undefined ? 'nothing was told' : words(value)}</strong>
          </span>
        );
      })}
    </div>
  );
}
