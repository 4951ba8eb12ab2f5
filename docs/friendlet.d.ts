// Answers of the API under /api/v1, and the call of each. Made from the table of calls.

export interface Empty {
}

export interface Problem {
  title: string;
  status: number;
  detail: string;
  code?: string;
  until?: number;
  output?: string[];
}

export interface Login {
  session: string;
  user: string;
  level: string;
  fullName: string;
}

export interface Sessions {
  pairing?: string;
  pairingKey?: string;
  sessions: Session[];
}

export interface Session {
  session: string;
  user: string;
  device: string;
  from?: string;
  since?: number;
  idle?: number;
  bound?: boolean;
  paired?: boolean;
  own: boolean;
}

export interface Services {
  services: Service[];
  next?: string;
}

export interface Service {
  state: string;
  pid: number;
  since: number;
  restarts: number;
  lastExit: string;
  next?: number | null;
  description?: string;
  reason: string;
  ready?: boolean;
  late?: number;
  startedOnce: boolean;
  name: string;
  command: string[];
  cut?: boolean;
  env: string[];
  cwd: string;
  user: string;
  autostart: boolean;
  required?: boolean;
  restart: string;
  startLimit: number;
  onFailure?: string;
  onSuccess?: string;
  successCodes: number[];
  after: string[];
  stopSignal: string;
  stopTimeout: number;
  maxRuntime?: number;
  commands: Command[];
  programs?: Program[];
  keys?: Record<string, unknown>;
  enabled: boolean;
  cpu?: number;
  memory?: number;
  waitsFor?: string[];
  history: End[];
  checks?: Check[];
  events?: ServiceEvent[];
}

export interface Status {
  state: string;
  pid: number;
  since: number;
  restarts: number;
  lastExit: string;
  next?: number | null;
  description?: string;
  reason: string;
  enabled: boolean;
  restart: string;
  startedOnce: boolean;
  ends: number;
  ready?: boolean;
  late?: number;
  text?: string;
  overridden?: boolean;
  events?: ServiceEvent[];
}

export interface ServiceEvent {
  key: string;
  value: string;
  ago: number;
  changes: number;
  expires?: number;
}

export interface Command {
  name: string;
  signal?: string;
  scope?: string;
  program?: string[];
  cut?: boolean;
}

export interface Program {
  name: string;
  program: string[];
  cut?: boolean;
}

export interface End {
  ago: number;
  ran: number;
  exit: string;
  reason: string;
}

export interface Check {
  name: string;
  level: string;
  state: string;
  failures: number;
  error?: string;
}

export interface Output {
  from: number;
  next: number;
  lost: number;
  lines: string[];
}

export interface Result {
  exit?: string;
  output?: string;
  cut?: boolean;
}

export interface Page {
  html: string;
}

export interface Pairing {
  user?: string;
  key?: string;
  closed?: string;
}

export interface Operations {
  operations: Operation[];
}

export interface Operation {
  operation: string;
  function: string;
  service: string;
  state: string;
  ago: number;
}

export interface Any {
  [key: string]: unknown;
}

export interface Board {
  board: string;
  version: string;
  build: string;
  slot: string;
  slotState?: string;
  slotMissing?: string;
  deviceFile: string;
  complaint: string;
  notice: string;
  certificate: string;
  certificateNames: string;
  certificateSum: string;
  certificateKey: string;
  certificateEnd: string;
  token: string;
  sandbox: string;
  logServer?: string;
  uptime: number;
  connections: number;
  slots: number;
  sessions: number;
  sessionSlots: number;
  memory: number;
  memoryAvailable: number;
  memoryTotal: number;
  checks?: Check[];
}

export interface Records {
  board: string;
  build: string;
  form: string;
  level: string;
  file?: number;
  wall: number;
  mono: number;
  from: number;
  next: number;
  records: string;
}

export interface Changes {
  dryRun?: boolean;
  added?: string[];
  changed?: string[];
  removed?: string[];
  needsRestart?: string[];
  change?: number;
  seconds?: number;
  address?: string;
  needsLogin?: boolean;
}

export interface Configuration {
  deviceFile: string;
  size: number;
  from: number;
  next: number;
  limit: number;
  base: string;
  trial?: Trial;
  text: string;
}

export interface Trial {
  by: string;
  change: number;
  seconds: number;
  address?: string;
  needsLogin?: boolean;
}

export interface ServiceChange {
  service: string;
  state: string;
  pid: number;
  reason?: string;
  output?: string[];
}

export interface ServiceEvents {
  service: string;
  events: EventValue[];
}

export interface EventValue {
  key: string;
  value: string;
}

export interface CheckChange {
  check: string;
  service?: string;
  state: string;
  error?: string;
}

export interface ServiceLog {
  service: string;
  from: number;
  next: number;
  lost: number;
  lines: string[];
}

/** Answer to each request. */
export interface Answers {
  "POST /api/v1/login": Login;
  "GET /api/v1/validate": Empty;
  "POST /api/v1/user/logout": Empty;
  "POST /api/v1/user/updatepassword": Empty;
  "POST /api/v1/user/unlock": Empty;
  "POST /api/v1/user/pair": Pairing;
  "GET /api/v1/sessions": Sessions;
  "POST /api/v1/sessions/end": Empty;
  "GET /api/v1/services": Services;
  "GET /api/v1/services/NAME/status": Status;
  "GET /api/v1/services/NAME": Service;
  "POST /api/v1/services/NAME/start": Empty;
  "POST /api/v1/services/NAME/stop": Empty;
  "POST /api/v1/services/NAME/restart": Empty;
  "POST /api/v1/services/NAME/pause": Empty;
  "POST /api/v1/services/NAME/install": Empty;
  "POST /api/v1/services/NAME/uninstall": Empty;
  "GET /api/v1/services/NAME/log": Output;
  "POST /api/v1/services/NAME/command": Result;
  "GET /api/v1/services/NAME/getwebgui": Page;
  "GET /api/v1/operations": Operations;
  "GET /api/v1/operations/wait": Any;
  "POST /api/v1/operations/cancel": Empty;
  "GET /api/v1/board/status": Board;
  "GET /api/v1/board/log": Records;
  "POST /api/v1/board/log": Records;
  "POST /api/v1/board/reload": Changes;
  "GET /api/v1/board/configuration": Any;
  "POST /api/v1/board/configuration": Any;
  "POST /api/v1/board/confirm": Empty;
  "POST /api/v1/board/pair": Pairing;
  "POST /api/v1/board/upgrade": Empty;
  "POST /api/v1/board/markgood": Empty;
  "POST /api/v1/board/reboot": Empty;
  "POST /api/v1/board/poweroff": Empty;
  "POST /api/v1/board/factory-reset": Empty;
}

/** Data of each event of `GET /api/v1/events`. */
export interface Events {
  "service-change": ServiceChange;
  "service-events": ServiceEvents;
  "check-change": CheckChange;
  "server-notice": string;
}
