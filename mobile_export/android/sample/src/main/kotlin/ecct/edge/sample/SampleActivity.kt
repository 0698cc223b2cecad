package ecct.edge.sample

import android.app.Activity
import android.os.Bundle
import android.widget.Button
import android.widget.LinearLayout
import android.widget.ScrollView
import android.widget.TextView
import ecct.edge.Downlink
import ecct.edge.EdgeException
import ecct.edge.android.EdgeDevice
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.MainScope
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch

/** One screen: load a model, score, train, and the bytes that would go to the cloud. */
class SampleActivity : Activity() {
    private val scope: CoroutineScope = MainScope()
    private lateinit var told: TextView

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        told = TextView(this)
        val column = LinearLayout(this).apply { orientation = LinearLayout.VERTICAL }
        column.addView(button("Load", ::load))
        column.addView(button("Score", ::score))
        column.addView(button("Train", ::train))
        column.addView(button("Uplink", ::uplink))
        column.addView(told)
        setContentView(ScrollView(this).apply { addView(column) })
    }

    override fun onDestroy() {
        scope.cancel()
        super.onDestroy()
    }

    private fun button(label: String, action: suspend (EdgeDevice) -> String): Button =
        Button(this).apply {
            text = label
            setOnClickListener { button ->
                button.isEnabled = false
                scope.launch {
                    told.text =
                        try {
                            action((application as SampleApplication).edgeDevice())
                        } catch (error: EdgeException) {
                            error.message
                        }
                    button.isEnabled = true
                }
            }
        }

    /** Loads the model and, the first time, gives the device a history of its first items. */
    private suspend fun load(device: EdgeDevice): String {
        val metadata = device.metadata
        if (device.state().historySize == 0) device.interact(tokens(device, 1..HISTORY))
        return "${metadata.variant}, ${metadata.tier}: ${metadata.itemRows - 1} items, ${metadata.weights} weights"
    }

    private suspend fun score(device: EdgeDevice): String {
        val start = System.nanoTime()
        val scores = device.score(tokens(device, HISTORY + 1..HISTORY + CANDIDATES))
        val microseconds = (System.nanoTime() - start) / 1000
        val best = scores.sortedByDescending { it.logit }.take(10)
        return "${scores.size} candidates in $microseconds µs\n" +
            best.joinToString("\n") { "%.3f  %s".format(it.logit, it.item) }
    }

    private suspend fun train(device: EdgeDevice): String = device.train().toString()

    private suspend fun uplink(device: EdgeDevice): String {
        val exchange = device.metadata.exchange
        device.receive(Downlink.unknownUser(exchange, IntArray(exchange.queries) { it + 1 }))
        val bytes = device.uplink()
        return "${bytes.size} bytes\n" + bytes.joinToString(" ") { "%02x".format(it) }
    }

    private fun tokens(device: EdgeDevice, rows: IntRange): List<String> =
        rows.mapNotNull(device.model::itemToken)

    private companion object {
        const val HISTORY = 20
        const val CANDIDATES = 100
    }
}
