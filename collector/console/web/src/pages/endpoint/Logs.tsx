// The end of an endpoint's logs, as `tail -f` shows it: the newest line lowest, followed until somebody
// scrolls up or pauses.

import { useNavigate, useSearch } from '@tanstack/react-router';
import { useVirtualizer } from '@tanstack/react-virtual';
import { ArrowDownToLine, Pause, Play, ScrollText, Search as Glass } from 'lucide-react';
import { useDeferredValue, useEffect, useRef, useState } from 'react';
import { Button } from 'react-aria-components';

import { useFollowed } from '../../api/followed';
import type { EndpointWhole, EventShown } from '../../api/types';
import { Foreign } from '../../parts/Foreign';
import { Answer, Empty } from '../../parts/Notice';
import { useTyped } from '../../shell/typed';
import { word } from '../../words/summary';
import { clock, utc } from '../../words/time';
import { EventDrawer } from './EventDrawer';

/** Lines that came in live and are kept; older ones are asked for. */
const LIVE_MAX = 3000;
const LINE_PX = 22;

/** So near to its end somebody still follows. */
const NEAR_PX = 40;

export default function Logs({ endpoint }: { endpoint: EndpointWhole }) {
  const search = useSearch({ from: '/shell/c/$client/endpoints/$endpoint' });
  const navigate = useNavigate({ from: '/c/$client/endpoints/$endpoint' });
  const [isLive, setLive] = useState(true);
  const change = (over: Partial<typeof search>) => {
    const next = Object.fromEntries(Object.entries({ ...search, ...over }).filter(([, value]) => value));
    void navigate({ search: next, replace: true });
  };
  const [text, setText] = useTyped(search.text ?? '', (value) => change({ text: value }));
  const asked = { endpoint: endpoint.id, class: 'log', text: useDeferredValue(search.text ?? '') };
  const { found, feed, past, fresh } = useFollowed(endpoint.client, 'logs', asked, isLive, LIVE_MAX);
  const lines = inOrder(past, fresh);
  return (
    <>
      <div className="filters" role="search">
        <label className="search">
          <Glass size={15} aria-hidden />
          <span className="unseen">Text in the lines</span>
          <input type="search" value={text} onChange={(event) => setText(event.target.value)} placeholder="Text in the lines" />
        </label>
        <Button className="button" onPress={() => setLive(!isLive)} aria-pressed={isLive}>
          {isLive ? <Pause size={14} aria-hidden /> : <Play size={14} aria-hidden />}
          {isLive ? (feed === 'live' ? 'Live' : 'Connecting…') : 'Paused'}
        </Button>
      </div>
      <Answer asked={found} rows={8}>
        {() =>
          lines.length > 0 || found.hasNextPage ? (
            <Tail
              lines={lines}
              earlier={found.hasNextPage ? () => void found.fetchNextPage() : null}
              isAsking={found.isFetchingNextPage}
              open={(line) => change({ event: line.metadata.uid })}
            />
          ) : (
            <Empty icon={ScrollText} title="It has written no such line">
              <p>Lines of the logs that its policy names appear here as they are written.</p>
            </Empty>
          )
        }
      </Answer>
      {search.event ? (
        <EventDrawer client={endpoint.client} uid={search.event} known={lines.find((line) => line.metadata.uid === search.event)} close={() => change({ event: '' })} />
      ) : null}
    </>
  );
}

/** The oldest first; some lines are in both. */
function inOrder(past: EventShown[], fresh: EventShown[]): EventShown[] {
  const known = new Set(past.map((line) => line.metadata.uid));
  return [...past.toReversed(), ...fresh.filter((line) => !known.has(line.metadata.uid)).toReversed()];
}

interface TailProps {
  lines: EventShown[];
  earlier: (() => void) | null;
  isAsking: boolean;
  open: (line: EventShown) => void;
}

function Tail({ lines, earlier, isAsking, open }: TailProps) {
  const box = useRef<HTMLDivElement>(null);
  const [follows, setFollows] = useState(true);
  // The compiler that would memoise this is not in use; the virtualizer hands out fresh rows.
  // eslint-disable-next-line react-hooks/incompatible-library
  const virtual = useVirtualizer({
    count: lines.length,
    getScrollElement: () => box.current,
    estimateSize: () => LINE_PX,
    overscan: 20,
    getItemKey: (index) => lines[index]?.metadata.uid ?? index,
  });
  const first = lines[0]?.metadata.uid;
  const before = useRef({ first, count: lines.length });
  useEffect(() => {
    const { current } = box;
    if (!current) return;
    const added = lines.length - before.current.count;
    // What is put in above must not move what is being read.
    if (follows) current.scrollTop = current.scrollHeight;
    else if (first !== before.current.first && added > 0) current.scrollTop += added * LINE_PX;
    before.current = { first, count: lines.length };
  }, [first, lines.length, follows]);
  const scrolled = () => {
    const { current } = box;
    if (current) setFollows(current.scrollHeight - current.scrollTop - current.clientHeight < NEAR_PX);
  };
  return (
    <div className="tail-frame">
      <div ref={box} className="tail" role="log" aria-label="Log lines" aria-live="off" tabIndex={0} onScroll={scrolled}>
        {earlier ? (
          <Button className="link tail-earlier" onPress={earlier} isPending={isAsking}>
            Earlier lines
          </Button>
        ) : (
          <p className="tail-earlier faint">The log’s beginning</p>
        )}
        <div className="tail-lines" style={{ height: virtual.getTotalSize() }}>
          {virtual.getVirtualItems().map((item) => {
            const line = lines[item.index];
            return line ? <Row key={item.key} line={line} start={item.start} open={open} /> : null;
          })}
        </div>
      </div>
      {follows ? null : (
        <Button className="button tail-follow" onPress={() => setFollows(true)}>
          <ArrowDownToLine size={15} aria-hidden /> Follow
        </Button>
      )}
    </div>
  );
}

function Row({ line, start, open }: { line: EventShown; start: number; open: (line: EventShown) => void }) {
  const source = word(line, 'log_file.path') || word(line, 'log_name') || word(line, 'unit');
  const name = source.split('/').at(-1) ?? source;
  return (
    <button type="button" className="tail-line" style={{ transform: `translateY(${start}px)` }} onClick={() => open(line)} tabIndex={-1}>
      <time dateTime={line.time_dt} title={utc(line.time_dt)}>
        {clock(line.time_dt)}
      </time>
      <span className="tail-source" title={source}>
        <Foreign text={name} max={24} />
      </span>
      <span className="tail-words">
        <Foreign text={word(line, 'raw_data') || word(line, 'message')} max={600} />
      </span>
    </button>
  );
}
