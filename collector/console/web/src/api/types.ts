// The things that the API speaks of, by short names, and those that its document leaves open.

import type { components } from '../../dist/schema';

type Schemas = components['schemas'];

export type Endpoint = Schemas['EndpointShown'];
export type EndpointWhole = Schemas['EndpointWhole'];
export type NeedName = Schemas['Need'];
export type Counts = Schemas['Counts'];
export type Count = Schemas['Count'];
export type Site = Schemas['SiteShown'];
export type NoteChange = Schemas['EndpointChange'];
export type Containment = Schemas['Containment'];
export type Command = Schemas['CommandShown'];
export type Target = Schemas['TargetShown'];
export type Preview = Schemas['PreviewShown'];
export type Operator = Schemas['OperatorShown'];
export type Roster = Schemas['RosterShown'];
export type Grant = Schemas['GrantShown'];
export type WayOut = Schemas['WayOutShown'];
export type Session = Schemas['SessionShown'];
export type Current = Schemas['Current'];
export type Entry = Schemas['EntryShown'];
export type Difference = Schemas['Difference'];

/** Any JSON. */
export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };

/** An event as OCSF has it, with the fields that every event has. */
export interface EventShown {
  class: string;
  activity_name?: string;
  severity?: string;
  time_dt: string;
  device: { hostname: string; uid: string };
  metadata: { lane: string; epoch: number; sequence: string; uid: string; logged_time_dt: string };
  [field: string]: unknown;
}

/** What stands on an endpoint, by its last health. */
export interface Standing {
  command: string;
  action: string;
  until_secs?: number | null;
  proved?: boolean;
}

export interface Sensor {
  name: string;
  state: string;
  reason: string | null;
  seen: string;
  dropped: string;
  dropped_why: string | null;
  proved_secs: number | null;
  tier: string | null;
}

export interface HealthReport {
  agent_version: string;
  budget: { cpu_percent: number; memory_bytes: number; spool_bytes: number } | null;
  cpu_us: number;
  rss_bytes: number;
  uptime_secs: number;
  sent_bytes: string;
  sensors: Sensor[];
  lanes: { lane: string; epoch: number; next_seq: number; events: number; bytes: number }[];
  given_up: string | null;
}

/** One of the facts of a command at one endpoint; what else it says depends on which. */
export interface Fact {
  at?: string;
  by?: string | string[];
  [field: string]: unknown;
}

export interface ReceiptPlace {
  lane: string;
  epoch: number;
  seq: string;
  at: string;
  outcome: string;
}
