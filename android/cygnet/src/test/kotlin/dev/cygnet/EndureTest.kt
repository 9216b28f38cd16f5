package dev.cygnet

import java.io.File
import java.nio.ByteBuffer
import org.junit.Assert.assertTrue
import org.junit.Test

class EndureTest {
    /** Resident bytes of this process, or `null` elsewhere than on Linux. */
    private fun resident(): Long? = File("/proc/self/status").takeIf { it.exists() }?.useLines { lines ->
        val line = lines.first { it.startsWith("VmRSS:") }
        line.filter(Char::isDigit).toLong() * 1024
    }

    @Test
    fun nothingLeaks() {
        val bytes = ByteBuffer.allocateDirect(File(bundle("colours")).length().toInt())
        bytes.put(File(bundle("colours")).readBytes()).flip()
        val pixels = ByteBuffer.allocateDirect(64)
        val picture = Picture.packed(PictureFormat.GRAY, 8, 8, pixels)
        val path = bundle("doubled")
        val cycle = { n: Int ->
            if (n % 2 == 0) {
                CygnetModel.open(bytes).use { model -> model.session().use { it.classify(picture) } }
            } else {
                CygnetModel.open(path).use { model -> model.session().use { it.run() } }
            }
            if (n % 10 == 0) {
                try {
                    CygnetModel.open(ByteArray(100))
                } catch (_: ModelException) {
                }
            }
        }
        repeat(20_000) { cycle(it) }
        System.gc()
        val before = resident() ?: return
        val begin = System.nanoTime()
        repeat(100_000) { cycle(it) }
        val micros = (System.nanoTime() - begin) / 100_000 / 1_000
        System.gc()
        val grown = resident()!! - before
        println("100,000 cycles of open, run and close: $micros us each, resident memory grew by ${grown / 1024} KiB")
        // A leak of a hundred bytes a cycle would be 10 MB. Java's heap does not count: test.sh touches all of it before.
        assertTrue("resident memory grew by $grown bytes", grown < 8L shl 20)
    }

    /** The best of many short rounds, in nanoseconds a call: what else the machine does falls between them. */
    private inline fun best(call: () -> Unit): Long = (0 until 300).minOf {
        val begin = System.nanoTime()
        repeat(1_000) { call() }
        (System.nanoTime() - begin) / 1_000
    }

    @Test
    fun overheadOfACall() {
        session("doubled") { session ->
            val values = FloatArray(4)
            val from = ByteBuffer.allocateDirect(16)
            val to = ByteBuffer.allocateDirect(16)
            println("overhead of calls on a model of one addition, best of 300 rounds of 1,000:")
            println("  run(ByteBuffer, ByteBuffer)   %5d ns".format(best { session.run(from, to) }))
            println("  run()                         %5d ns".format(best { session.run() }))
            println("  setInput(ByteBuffer)          %5d ns".format(best { session.setInput(0, from) }))
            println("  setInput(FloatArray)          %5d ns".format(best { session.setInput(0, values) }))
            println("  floats()                      %5d ns".format(best { session.floats(0) }))
            println("  bytes(into ByteBuffer)        %5d ns".format(best { session.bytes(0, to) }))
            println("  reset()                       %5d ns".format(best { session.reset() }))
        }
        session("colours") { session ->
            val picture = Picture.packed(PictureFormat.RGBA, 8, 8, ByteBuffer.allocateDirect(256))
            println("  classify(8 x 8)               %5d ns".format(best { session.classify(picture) }))
        }
    }
}
