// A family of processes as a picture: generations from left to right, boxes that can be walked and
// chosen. Only text goes into it.

import { type KeyboardEvent, useEffect, useRef } from 'react';

import { plain } from '../../words/foreign';
import { word } from '../../words/summary';
import { clock } from '../../words/time';
import { type Branch, NODE, type Placed, name, place } from './family';

interface Props {
  top: Branch;
  chosen: string;
  choose: (key: string) => void;
}

/** Letters that fit into a box. */
const NAME_MAX = 22;

export function TreePicture({ top, chosen, choose }: Props) {
  const { nodes, width, height } = place(top);
  const frame = useRef<HTMLDivElement>(null);
  const at = nodes.find((node) => node.branch.process.key === chosen);
  useEffect(() => {
    if (!at || !frame.current) return;
    frame.current.scrollTo({
      left: at.x - frame.current.clientWidth / 2 + NODE.width / 2,
      top: at.y - frame.current.clientHeight / 2 + NODE.height / 2,
    });
  }, [at?.x, at?.y, at]);
  const margin = 16;
  return (
    <div ref={frame} className="tree" tabIndex={0} role="region" aria-label="Process tree">
      <svg width={width + 2 * margin} height={height + 2 * margin} aria-label={`${nodes.length} processes`}>
        <g transform={`translate(${margin} ${margin})`}>
          {nodes.map((node) => (node.parent ? <path key={node.branch.process.key} className="tree-line" d={line(node)} /> : null))}
          {nodes.map((node) => (
            <Box key={node.branch.process.key} node={node} isChosen={node.branch.process.key === chosen} choose={choose} />
          ))}
        </g>
      </svg>
    </div>
  );
}

function line(node: Placed): string {
  const from = { x: (node.parent?.x ?? 0) + NODE.width, y: (node.parent?.y ?? 0) + NODE.height / 2 };
  const to = { x: node.x, y: node.y + NODE.height / 2 };
  const middle = (from.x + to.x) / 2;
  return `M${from.x} ${from.y}C${middle} ${from.y} ${middle} ${to.y} ${to.x} ${to.y}`;
}

function Box({ node, isChosen, choose }: { node: Placed; isChosen: boolean; choose: (key: string) => void }) {
  const { process, hidden } = node.branch;
  const title = plain(name(process), 200);
  const shown = title.length > NAME_MAX ? `${title.slice(0, NAME_MAX)}…` : title;
  const user = process.launch ? word(process.launch, 'process.user.uid') : '';
  const code = process.end ? word(process.end, 'exit_code') : '';
  const state = !process.launch ? 'before' : process.end ? (code !== '' && code !== '0' ? 'failed' : 'ended') : 'running';
  const told = [`pid ${process.pid}`, user === '' ? '' : user === '0' ? 'root' : `uid ${user}`, process.launch ? clock(process.launch.time_dt).slice(0, 8) : '', state === 'failed' ? `code ${code}` : ''];
  const press = (event: KeyboardEvent) => {
    if (event.key !== 'Enter' && event.key !== ' ') return;
    event.preventDefault();
    choose(process.key);
  };
  return (
    <g
      className={`tree-node ${state} ${isChosen ? 'chosen' : ''}`}
      transform={`translate(${node.x} ${node.y})`}
      role="button"
      tabIndex={0}
      aria-pressed={isChosen}
      onClick={() => choose(process.key)}
      onKeyDown={press}
    >
      <rect width={NODE.width} height={NODE.height} rx={7} />
      <circle cx={14} cy={15} r={3.5} />
      <text x={25} y={19} className="tree-name">
        {shown}
      </text>
      <text x={14} y={35} className="tree-told">
        {told.filter(Boolean).join(' · ')}
      </text>
      {hidden > 0 ? (
        <text x={NODE.width - 8} y={35} textAnchor="end" className="tree-told">
          +{hidden}
        </text>
      ) : null}
    </g>
  );
}
