// Archives that endpoints collected on a command: what each is, whether what the collector says of it is
// what the endpoint signed, and how to fetch and open it.

import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { Archive, Download, LockKeyhole } from 'lucide-react';

import { api, take } from '../../api/client';
import { endpoint } from '../../api/queries';
import type { components } from '../../../dist/schema';
import { Command, Id } from '../../parts/Copy';
import { Foreign } from '../../parts/Foreign';
import { Badge } from '../../parts/Mark';
import { Answer, Empty } from '../../parts/Notice';
import { Panel } from '../../parts/Page';
import { Moment } from '../../parts/Time';
import { fromBase64url } from '../../proof/bytes';
import { readCollected } from '../../proof/collected';
import { whyNot } from '../../proof/cose';
import { bytes, many } from '../../words/measure';

type Collection = components['schemas']['Collection'];

type Checked = { tone: 'good' | 'bad' | 'plain'; word: string; why: string };

/** Holds what the collector lists against what the endpoint signed. */
async function check(one: Collection): Promise<Checked> {
  const cannot = await whyNot();
  if (cannot) return { tone: 'plain', word: 'not checked', why: cannot };
  try {
    const signed = await readCollected(fromBase64url(one.signed));
    const isSame =
      signed.endpoint === one.endpoint &&
      signed.command === one.command.replaceAll('-', '') &&
      signed.sha256 === one.sha256 &&
      signed.bytes === one.bytes &&
      signed.entries === one.entries &&
      signed.isSealed === one.sealed;
    if (isSame) return { tone: 'good', word: 'signed', why: 'Endpoint, command, length and digest are those that the endpoint signed; verified in this browser' };
    return { tone: 'bad', word: 'NOT what was signed', why: 'The collector lists something else than the endpoint signed' };
  } catch (error) {
    return { tone: 'bad', word: 'NOT signed', why: error instanceof Error ? error.message : 'It cannot be read' };
  }
}

export function Collections({ client }: { client: string }) {
  const asked = useQuery({
    queryKey: [client, 'collections'],
    queryFn: async () => {
      const items: Collection[] = [];
      let cursor: string | undefined;
      do {
        const page = await take(api.GET('/api/v1/collections', { params: { query: { client, limit: 500, ...(cursor ? { cursor } : {}) } } }));
        items.push(...page.items);
        cursor = page.next ?? undefined;
      } while (cursor && items.length < 5_000);
      return Promise.all(items.reverse().map(async (one) => ({ one, checked: await check(one) })));
    },
  });
  return (
    <Panel title="Collected archives" flush>
      <Answer asked={asked} rows={4}>
        {(items) =>
          items.length === 0 ? (
            <Empty icon={Archive} title="Nothing was collected yet">
              <p>A collection is a signed command: the endpoint packs its processes, sockets, logs and the files you name, seals them to those who may collect, and signs the digest.</p>
              <Command text={`cordon collect ENDPOINT --client ${client} --reason WHY`} />
            </Empty>
          ) : (
            <ul className="collections">
              {items.map(({ one, checked }) => (
                <Line key={`${one.command}.${one.endpoint}`} client={client} one={one} checked={checked} />
              ))}
            </ul>
          )
        }
      </Answer>
    </Panel>
  );
}

function HostName({ client, id }: { client: string; id: string }) {
  const { data } = useQuery({ ...endpoint(client, id), refetchInterval: false, staleTime: 60_000 });
  return data ? <Foreign text={data.host_name} max={80} /> : id.slice(0, 12);
}

function Line({ client, one, checked }: { client: string; one: Collection; checked: Checked }) {
  const address = `/api/v1/collections/${one.command}/${one.endpoint}`;
  const name = `${one.command}-${one.endpoint.slice(0, 8)}.tar.zst${one.sealed ? '.sealed' : ''}`;
  return (
    <li className="collection">
      <div className="collection-head">
        {one.sealed ? <LockKeyhole size={15} aria-hidden /> : <Archive size={15} aria-hidden />}
        <strong>
          <Link to="/c/$client/endpoints/$endpoint" params={{ client, endpoint: one.endpoint }}>
            <HostName client={client} id={one.endpoint} />
          </Link>
        </strong>
        <Moment at={one.at} />
        <span className="faint">
          {bytes(one.bytes)}, {many(one.entries, 'entry', 'entries')}
          {one.missing > 0 ? `, ${one.missing} missing` : ''}
          {one.cut ? ', cut by a limit' : ''}
        </span>
        <Badge tone={checked.tone} title={checked.why}>
          {checked.word}
        </Badge>
        {one.sealed ? (
          <Badge tone="held" title="Only operators who could collect when it was made can open it">
            sealed
          </Badge>
        ) : null}
        <span className="push">
          {one.whole ? (
            <a className="button small" href={address} download={name}>
              <Download size={14} aria-hidden /> Download
            </a>
          ) : (
            <span className="faint">
              {bytes(one.received)} of {bytes(one.bytes)} are here
            </span>
          )}
        </span>
      </div>
      <div className="collection-more">
        <span className="note">
          By command{' '}
          <Link to="/c/$client/commands/$command" params={{ client, command: one.command }}>
            {one.command.slice(0, 18)}
          </Link>
          , SHA-256 <Id id={one.sha256} length={16} />
        </span>
        <Command
          text={`cordon collection get ${one.command} --endpoint ${one.endpoint}`}
          why={one.sealed ? 'Fetches it (an interrupted fetch goes on), opens it with your key, and verifies every entry:' : 'Fetches it (an interrupted fetch goes on) and verifies every entry:'}
        />
      </div>
    </li>
  );
}
