// File systems, how full they are, and when they will be full if they go on as now.

import { useQuery } from '@tanstack/react-query';

import { events } from '../../api/queries';
import type { EndpointWhole, EventShown } from '../../api/types';
import { Foreign } from '../../parts/Foreign';
import { Answer } from '../../parts/Notice';
import { Panel } from '../../parts/Page';
import { Ago } from '../../parts/Time';
import { bytes, span } from '../../words/measure';
import { word } from '../../words/summary';

interface Disk {
  path: string;
  kind: string;
  total: number;
  free: number;
  fullInSecs: number | null;
  percentSure: number | null;
  at: string;
}

const number = (event: EventShown, path: string) => {
  const found = word(event, path);
  return found === '' ? null : Number(found);
};

/** The newest of what was told of each file system, the fullest first. */
export function disks(found: EventShown[]): Disk[] {
  const byPath = new Map<string, Disk>();
  for (const event of found) {
    const path = word(event, 'mount.path');
    const total = number(event, 'space.bytes_total');
    if (path === '' || total === null || total === 0 || byPath.has(path)) continue;
    byPath.set(path, {
      path,
      kind: word(event, 'mount.fs_type'),
      total,
      free: number(event, 'space.bytes_available') ?? 0,
      fullInSecs: number(event, 'space.full_in_secs'),
      percentSure: number(event, 'space.confidence_percent'),
      at: event.time_dt,
    });
  }
  return [...byPath.values()].sort((a, b) => a.free / a.total - b.free / b.total);
}

export function Disks({ endpoint }: { endpoint: EndpointWhole }) {
  const asked = useQuery(events(endpoint.client, { endpoint: endpoint.id, class: 'disk' }, 500));
  return (
    <Panel title="Disks">
      <Answer asked={asked}>
        {({ items }) => {
          const found = disks(items);
          return found.length === 0 ? (
            <p className="faint">It has not told of its file systems yet.</p>
          ) : (
            <ul className="disks">
              {found.map((disk) => (
                <Row key={disk.path} disk={disk} />
              ))}
            </ul>
          );
        }}
      </Answer>
    </Panel>
  );
}

function Row({ disk }: { disk: Disk }) {
  const used = Math.min(100, Math.max(0, (1 - disk.free / disk.total) * 100));
  const tone = used >= 95 ? 'bad' : used >= 85 || disk.fullInSecs !== null ? 'warn' : 'good';
  return (
    <li>
      <div className="disk-head">
        <code>
          <Foreign text={disk.path} max={120} />
        </code>
        <span className="faint">{disk.kind}</span>
        <span className="push number">
          {bytes(disk.free)} free of {bytes(disk.total)}
        </span>
      </div>
      <meter className={`meter ${tone}`} min={0} max={100} value={used} aria-label={`${Math.round(used)} % used`} />
      <div className="disk-foot">
        {disk.fullInSecs === null ? (
          <span className="faint">{Math.round(used)} % used; it does not fill steadily</span>
        ) : (
          <span className="warn-words">
            full in {span(disk.fullInSecs)} if it goes on so{disk.percentSure === null ? '' : ` (${disk.percentSure} % sure)`}
          </span>
        )}
        <span className="push faint">
          told <Ago at={disk.at} />
        </span>
      </div>
    </li>
  );
}
