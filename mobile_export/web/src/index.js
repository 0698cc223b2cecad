/**
 * A device of ECCT-TF in the browser: opens an exported file after its hash was checked, recommends, trains, keeps its
 * state in IndexedDB, and answers the cloud with the bytes that devices in Python and Kotlin send.
 */
export {CloudClient} from './client.js';
export {BUILT_IN as CODECS} from './codecs.js';
export {EdgeDevice} from './device.js';
export {Downlink, DownlinkFile} from './downlink.js';
export {
  ClosedError, CodecError, EdgeError, InputError, ModelFileError, PayloadError, RecordRefusedError, RefusedError,
  SignatureError, StalePublicationError, StateError, TokenRefusedError, TransportError, UnreachableError,
} from './errors.js';
export {IndexedDbStates} from './indexed_db.js';
export {EdgeMetadata, Exchange} from './metadata.js';
export {ModelFile} from './model_file.js';
export {takePart} from './rounds.js';
export {PublicKey} from './signing.js';
export {DeviceState} from './state.js';
export {MemoryStates} from './stores.js';

/** @typedef {import('./codecs.js').Codec} Codec */
