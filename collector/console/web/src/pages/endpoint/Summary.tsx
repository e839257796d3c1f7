// How an endpoint stands: what holds on it, what is wrong, its sensors, its disks, who it is.

import { Link } from '@tanstack/react-router';
import { CircleAlert } from 'lucide-react';

import type { EndpointWhole, HealthReport } from '../../api/types';
import { Id } from '../../parts/Copy';
import { Foreign } from '../../parts/Foreign';
import { Field, Fields, Panel } from '../../parts/Page';
import { Ago, Moment } from '../../parts/Time';
import { bytes, span } from '../../words/measure';
import { conditionWords } from '../../words/state';
import { Disks } from './Disks';
import { Gaps } from './Gaps';
import { Note } from './Note';
import { Sensors } from './Sensors';
import { Stands } from './Stands';

export function Summary({ endpoint }: { endpoint: EndpointWhole }) {
  const health = endpoint.health as unknown as HealthReport | null;
  return (
    <>
      {endpoint.conditions.length > 0 || endpoint.clones > 0 ? (
        <ul className="conditions">
          {endpoint.clones > 0 ? (
            <li className="bad">
              <CircleAlert size={16} aria-hidden /> {endpoint.clones} other machine(s) share its key: it was copied
            </li>
          ) : null}
          {endpoint.conditions.map((condition) => (
            <li key={conditionWords(condition)}>
              <CircleAlert size={16} aria-hidden /> <Foreign text={conditionWords(condition)} />
            </li>
          ))}
        </ul>
      ) : null}
      <div className="columns">
        <div className="stack">
          <Stands endpoint={endpoint} />
          <Panel title="Sensors" aside={health ? <span>as of <Ago at={endpoint.health_at} /></span> : null} flush>
            <Sensors sensors={health?.sensors ?? []} />
          </Panel>
        </div>
        <div className="stack">
          <Note endpoint={endpoint} />
          <Identity endpoint={endpoint} />
          <Disks endpoint={endpoint} />
          {health ? <Agent health={health} /> : null}
          <Gaps endpoint={endpoint} />
        </div>
      </div>
    </>
  );
}

function Identity({ endpoint }: { endpoint: EndpointWhole }) {
  const offset = Number(endpoint.clock_offset_ns) / 1e6;
  return (
    <Panel title="Identity">
      <Fields>
        <Field name="Id">
          <Id id={endpoint.id} />
        </Field>
        <Field name="System">
          <Foreign text={endpoint.os} max={120} />
        </Field>
        <Field name="Kernel">
          <Foreign text={endpoint.kernel} max={120} />
        </Field>
        <Field name="Machine id">
          <code>
            <Foreign text={endpoint.machine_id} max={80} />
          </code>
        </Field>
        <Field name="Enrolled">
          <Moment at={endpoint.enrolled_at} />
        </Field>
        <Field name="Certificate">
          expires <Ago at={endpoint.certificate_until} />, and renews itself
        </Field>
        <Field name="Clock">{Math.abs(offset) < 1 ? 'in step' : `${Math.abs(offset).toFixed(0)} ms ${offset > 0 ? 'ahead' : 'behind'}`}</Field>
        <Field name="Roster">
          <Link to="/c/$client/settings" params={{ client: endpoint.client }} search={{ tab: 'rosters' }}>
            version {endpoint.roster_version}
          </Link>
        </Field>
        <Field name="Policy">{endpoint.policy_version ? `version ${endpoint.policy_version}` : 'none: the agent’s defaults'}</Field>
        <Field name="Way out">
          {endpoint.way_out ? (
            <>
              code {endpoint.way_out.serial} for {endpoint.way_out.operators.join(', ')}
              {endpoint.way_out.is_void ? ' (void)' : ''}
            </>
          ) : (
            'none is stored'
          )}
        </Field>
      </Fields>
    </Panel>
  );
}

/** How much of the machine the agent itself takes. */
function Agent({ health }: { health: HealthReport }) {
  const memory = health.budget?.memory_bytes;
  const cpu = health.uptime_secs > 0 ? health.cpu_us / 1e4 / health.uptime_secs : 0;
  return (
    <Panel title="The agent itself">
      <Fields>
        <Field name="Version">
          <Foreign text={health.agent_version} max={40} />
        </Field>
        <Field name="Memory">
          {bytes(health.rss_bytes)}
          {memory ? <span className="faint"> of {bytes(memory)} allowed</span> : null}
        </Field>
        <Field name="Processor">{cpu.toFixed(cpu < 1 ? 2 : 1)} % of one, on average</Field>
        <Field name="Running for">{span(health.uptime_secs)}</Field>
        <Field name="Sent">{bytes(Number(health.sent_bytes))}</Field>
        <Field name="Waiting to be sent">{health.lanes.reduce((sum, lane) => sum + lane.events, 0).toLocaleString('en')} events</Field>
        {health.given_up ? (
          <Field name="Given up">
            <Foreign text={health.given_up} />
          </Field>
        ) : null}
      </Fields>
    </Panel>
  );
}
