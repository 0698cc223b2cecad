/**
 * What this library refuses. Each message says what was expected, what came, and the way out.
 *
 * An app that catches one of these has the same weights and the same state as before the call.
 */
export class EdgeError extends Error {
  /**
   * @param {string} message
   * @param {{cause?: unknown}} [options]
   */
  constructor(message, options) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** A model file, or the manifest beside it, is not what was exported; it was not loaded. */
export class ModelFileError extends EdgeError {}

/** A kept state cannot be used: damaged, of another model, or open elsewhere. */
export class StateError extends EdgeError {}

/** Bytes of a downlink or an uplink that do not have the declared form. */
export class PayloadError extends EdgeError {}

/** A codec of the app failed, or does not do what a codec does. */
export class CodecError extends EdgeError {}

/** An argument that no model of this form can take. */
export class InputError extends EdgeError {}

/** The model refused values from inside its graph, or answered what it must not. */
export class RefusedError extends EdgeError {}

/** The device was closed before the call. */
export class ClosedError extends EdgeError {
  constructor() {
    super('EdgeDevice: expected an open one, this one was closed; open the device again');
  }
}

/** The service cannot be used: what it says does not fit together, or it is not the one meant. */
export class TransportError extends EdgeError {}

/** The service could not be reached, or the connection broke; later it may work. */
export class UnreachableError extends TransportError {}

/** The token is not valid: it expired or was revoked; the app has to get another one. */
export class TokenRefusedError extends TransportError {}

/** The cloud published anew between two requests; ask for what is current again. */
export class StalePublicationError extends TransportError {}

/** A publication is not signed by whom it must be, has expired, or is older than one that was accepted. */
export class SignatureError extends TransportError {}

/** The service can never take a record; it took none of the request. */
export class RecordRefusedError extends TransportError {
  /**
   * @param {string} message
   * @param {number} index of the record in the request
   */
  constructor(message, index) {
    super(message);
    this.index = index;
  }
}

/** The text is no JSON, or lacks what was asked of it. The caller says which file it was. */
export class JsonError extends Error {}

/** A sealed file cannot be used. The caller says what to do. */
export class SealError extends Error {}
