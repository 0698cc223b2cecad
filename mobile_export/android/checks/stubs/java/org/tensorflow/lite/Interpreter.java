package org.tensorflow.lite;

import java.nio.ByteBuffer;
import java.util.Map;

/** Signatures of LiteRT's interpreter that the library calls; bodies are never run. */
public final class Interpreter implements AutoCloseable {
    public static class Options {
        public Options setNumThreads(int numThreads) {
            return this;
        }
    }

    public Interpreter(ByteBuffer byteBuffer, Options options) {}

    public String[] getSignatureKeys() {
        return null;
    }

    public String[] getSignatureInputs(String signatureKey) {
        return null;
    }

    public String[] getSignatureOutputs(String signatureKey) {
        return null;
    }

    public void runSignature(Map<String, Object> inputs, Map<String, Object> outputs, String signatureKey) {}

    @Override
    public void close() {}
}
