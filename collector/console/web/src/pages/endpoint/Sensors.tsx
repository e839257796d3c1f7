// Every sensor of an agent: whether it runs, by what means, what it saw and what it dropped.

import type { Sensor } from '../../api/types';
import { Foreign } from '../../parts/Foreign';
import { Badge } from '../../parts/Mark';
import type { Tone } from '../../words/state';

const TONES: Record<string, Tone> = { running: 'good', degraded: 'warn', starting: 'quiet', off: 'quiet' };

export function Sensors({ sensors }: { sensors: Sensor[] }) {
  if (sensors.length === 0) return <p className="note padded">It has not reported its health yet; that takes a minute.</p>;
  return (
    <ul className="list sensors">
      {sensors.map((sensor) => (
        <li key={sensor.name}>
          <div className="sensor-head">
            <strong>{sensor.name}</strong>
            {sensor.tier ? <span className="faint">by {sensor.tier}</span> : null}
            <span className="push faint number">{Number(sensor.seen).toLocaleString('en')} seen</span>
            {sensor.dropped === '0' ? null : <Badge tone="bad">{Number(sensor.dropped).toLocaleString('en')} dropped</Badge>}
            <Badge tone={TONES[sensor.state] ?? 'bad'}>{sensor.state}</Badge>
          </div>
          {sensor.reason ? (
            <p className="need-detail">
              <Foreign text={sensor.reason} max={500} />
            </p>
          ) : null}
          {sensor.dropped_why ? (
            <p className="need-detail">
              <Foreign text={sensor.dropped_why} max={500} />
            </p>
          ) : null}
        </li>
      ))}
    </ul>
  );
}
