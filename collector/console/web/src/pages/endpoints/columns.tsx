// The columns that the list of endpoints can show.

import type { Endpoint, Standing } from '../../api/types';
import { Foreign } from '../../parts/Foreign';
import { Badge, StateMark } from '../../parts/Mark';
import type { Column } from '../../parts/Table';
import { Ago, Moment } from '../../parts/Time';
import { conditionWords, standingWord } from '../../words/state';

export type EndpointColumn = Column<Endpoint> & { always?: boolean };

export const COLUMNS: EndpointColumn[] = [
  {
    key: 'name',
    title: 'Name',
    width: 'minmax(11rem, 2fr)',
    sort: 'name',
    card: 'title',
    always: true,
    cell: (row) => (
      <span className="name">
        <Foreign text={row.host_name} max={120} />
      </span>
    ),
  },
  { key: 'state', title: 'State', width: '9rem', sort: 'need', card: 'side', always: true, cell: (row) => <StateMark endpoint={row} /> },
  {
    key: 'stands',
    title: 'Stands on it',
    width: 'minmax(8rem, 1fr)',
    card: 'line',
    cell: (row) => <Stands standing={row.standing as unknown as Standing[]} />,
  },
  { key: 'seen', title: 'Last heard', width: '8.5rem', sort: 'seen', card: 'line', cell: (row) => (row.state === 'online' ? <span className="faint">now</span> : <Ago at={row.last_seen} />) },
  {
    key: 'conditions',
    title: 'Conditions',
    width: 'minmax(7rem, 1fr)',
    cell: (row) =>
      row.conditions.length > 0 ? (
        <Badge tone="warn" title={row.conditions.map(conditionWords).join('\n')}>
          {row.conditions.length === 1 ? (row.conditions[0]?.condition.replaceAll('_', ' ') ?? '') : `${row.conditions.length} conditions`}
        </Badge>
      ) : (
        <span className="faint">—</span>
      ),
  },
  { key: 'os', title: 'System', width: 'minmax(9rem, 1.4fr)', sort: 'os', card: 'line', cell: (row) => <Foreign text={row.os} max={80} /> },
  { key: 'site', title: 'Site', width: '7rem', sort: 'site', cell: (row) => row.site ?? <span className="faint">—</span> },
  {
    key: 'criticality',
    title: 'Criticality',
    width: '7rem',
    sort: 'criticality',
    cell: (row) => (row.criticality === 'high' || row.criticality === 'critical' ? <Badge tone="plain">{row.criticality}</Badge> : row.criticality),
  },
  {
    key: 'labels',
    title: 'Labels',
    width: 'minmax(7rem, 1fr)',
    cell: (row) => row.labels.map((label) => <Badge key={label} tone="plain">{label}</Badge>),
  },
  { key: 'role', title: 'Role', width: 'minmax(7rem, 1fr)', cell: (row) => row.role || <span className="faint">—</span> },
  { key: 'version', title: 'Agent', width: '6rem', sort: 'version', cell: (row) => <Foreign text={row.agent_version} max={30} /> },
  { key: 'kernel', title: 'Kernel', width: 'minmax(10rem, 1fr)', cell: (row) => <Foreign text={row.kernel} max={80} /> },
  { key: 'roster', title: 'Roster', width: '5rem', cell: (row) => row.roster_version },
  { key: 'enrolled', title: 'Enrolled', width: '9.5rem', sort: 'enrolled', cell: (row) => <Moment at={row.enrolled_at} /> },
  { key: 'id', title: 'Id', width: '8.5rem', cell: (row) => <code className="faint">{row.id.slice(0, 12)}</code> },
];

export const COLUMNS_DEFAULT = ['name', 'state', 'stands', 'seen', 'conditions', 'os', 'site', 'criticality', 'labels'];

function Stands({ standing }: { standing: Standing[] }) {
  if (standing.length === 0) return <span className="faint none">—</span>;
  const [first] = standing;
  return (
    <Badge tone="held" title={standing.map((one) => standingWord(one.action)).join(', ')}>
      {standingWord(first?.action ?? '')}
      {standing.length > 1 ? ` +${standing.length - 1}` : ''}
    </Badge>
  );
}
