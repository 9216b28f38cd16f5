package dev.cygnet

import java.io.File
import java.nio.ByteBuffer
import java.util.concurrent.CountDownLatch
import java.util.concurrent.atomic.AtomicReference
import kotlin.concurrent.thread
import org.junit.Assert.assertEquals
import org.junit.Assert.assertThrows
import org.junit.Assert.assertTrue
import org.junit.Test

class MisuseTest {
    private inline fun <reified E : CygnetException> fails(vararg words: String, crossinline call: () -> Unit) {
        val e = assertThrows(E::class.java) { call() }
        for (word in words) assertTrue("`${e.message}` says `$word`", word in e.message!!)
    }

    private fun gray(bytes: Int = 64) = Picture.packed(PictureFormat.GRAY, 8, 8, ByteArray(bytes))

    @Test
    fun nothingIsUsedOnceItIsClosed() {
        val model = CygnetModel.open(bundle("colours"))
        val session = model.session()
        model.close()
        model.close()
        fails<ClosedException>("model") { model.session() }
        fails<ClosedException>("model") { model.selfTest() }
        assertEquals("sessions live on", 3, session.classify(gray()).size)
        session.close()
        session.close()
        session.cancel()
        val calls = listOf<() -> Unit>(
            { session.classify(gray()) }, { session.setPicture(gray()) }, { session.run() }, { session.reset() },
            { session.warmUp() }, { session.floats(0) }, { session.bytes(0) }, { session.shape(0) },
            { session.setInput(0, FloatArray(4)) }, { session.setInput(0, ByteArray(4)) }, { session.answer() },
            { session.setInput(0, direct(1)) }, { session.setShape(0, 1) }, { session.listen(FloatArray(1), 1) },
            { session.profile() }, { session.run(direct(1), direct(1)) }, { session.bytes(0, direct(1)) },
        )
        for (call in calls) fails<ClosedException>("session is closed") { call() }
        // The slot of the closed session belongs to another now.
        CygnetModel.open(bundle("doubled")).use { other ->
            other.session().use { fails<ClosedException> { session.run() } }
        }
    }

    /** Runs the slow model in a thread; `use` acts once it runs. Returns what the run failed with. */
    private fun whileRunning(session: Session, use: () -> Unit): Throwable? {
        val failure = AtomicReference<Throwable>()
        val begun = CountDownLatch(1)
        val runner = thread {
            begun.countDown()
            try {
                session.run()
            } catch (e: Throwable) {
                failure.set(e)
            }
        }
        begun.await()
        // The session is in use as soon as another thread finds it so.
        val deadline = System.nanoTime() + 10_000_000_000
        while (System.nanoTime() < deadline) {
            try {
                session.shape(0)
            } catch (_: SessionBusyException) {
                break
            }
        }
        use()
        runner.join(60_000)
        assertTrue("the run has ended", !runner.isAlive)
        return failure.get()
    }

    @Test
    fun twoThreadsOnOneSession() {
        session("slow") { session ->
            val failure = whileRunning(session) {
                fails<SessionBusyException>("another thread") { session.run() }
                fails<SessionBusyException> { session.setInput(0, FloatArray(4)) }
                session.cancel()
            }
            assertTrue("$failure", failure is RunCancelledException)
        }
    }

    @Test
    fun closingEndsTheRun() {
        session("slow") { session ->
            val failure = whileRunning(session) { session.close() }
            assertTrue("$failure", failure is RunCancelledException)
            fails<ClosedException> { session.run() }
        }
    }

    @Test
    fun manyThreadsOpenUseAndClose() {
        val model = CygnetModel.open(bundle("colours"))
        val shared = model.session()
        val unexpected = AtomicReference<Throwable>()
        List(8) { n ->
            thread {
                repeat(2_000) { i ->
                    try {
                        if (n % 2 == 0) shared.classify(gray()) else model.session().use { it.classify(gray()) }
                        if (n == 7 && i == 1_000) shared.close()
                    } catch (_: SessionBusyException) {
                    } catch (_: ClosedException) {
                    } catch (_: RunCancelledException) {
                    } catch (e: Throwable) {
                        unexpected.set(e)
                    }
                }
            }
        }.forEach { it.join() }
        model.close()
        assertEquals(null, unexpected.get())
    }

    @Test
    fun wrongTensors() {
        session("free") { session ->
            fails<InputException>("1..8") { session.setShape(0, 9, 2) }
            fails<InputException>("1..8") { session.setShape(0, 1, 2, 3) }
            fails<InputException> { session.setShape(0, -1, 2) }
            fails<InputException> { session.setShape(5, 1, 2) }
            fails<InputException> { session.run() }
        }
        session("doubled") { session ->
            fails<InputException>("4 elements", "5") { session.setInput(0, FloatArray(5)) }
            fails<InputException>("f32", "i64") { session.setInput(0, LongArray(4)) }
            fails<InputException>("f32", "i32") { session.setInput(0, IntArray(4)) }
            fails<InputException>("16 bytes", "15") { session.setInput(0, ByteArray(15)) }
            fails<InputException>("16 bytes", "17") { session.setInput(0, ByteBuffer.allocateDirect(17)) }
            fails<InputException> { session.setInput(1, FloatArray(4)) }
            fails<InputException> { session.setInput(-1, FloatArray(4)) }
            fails<InputException>("no input `nothing`", "t0") { session.input("nothing") }
            fails<InputException> { session.floats(1) }
            fails<InputException>("direct") { session.bytes(0, ByteBuffer.allocate(16)) }
            fails<InputException>("16") { session.bytes(0, ByteBuffer.allocateDirect(15)) }
            fails<InputException>("room") { session.run(ByteBuffer.allocateDirect(16), ByteBuffer.allocateDirect(8)) }
        }
    }

    @Test
    fun numbersThatLieAboutMemory() {
        session("doubled") { session ->
            // What only somebody who goes past the Kotlin layer can say.
            val handle = Session::class.java.getDeclaredField("handle").also { it.isAccessible = true }.getLong(session)
            val buffer = ByteBuffer.allocateDirect(16)
            for ((first, length) in listOf(0 to 17, 1 to 16, -1 to 16, 0 to -1, Int.MAX_VALUE to Int.MAX_VALUE)) {
                fails<InputException>("16 bytes") { Native.setBuffer(handle, 0, buffer, first, length) }
                fails<InputException>("16 bytes") { Native.setBytes(handle, 0, ByteArray(16), first, length) }
                fails<InputException>("16 bytes") { Native.outputInto(handle, 0, buffer, first, length) }
            }
            for (wrong in listOf(0L, -1L, 1L, handle + 1, handle + (1L shl 32), Long.MAX_VALUE, Long.MIN_VALUE)) {
                fails<ClosedException> { Native.run(wrong) }
                Native.closeSession(wrong)
                Native.closeModel(wrong)
            }
            session.run()
        }
    }

    @Test
    fun picturesThatLie() {
        session("colours") { session ->
            fails<InputException>("8 x 8", "fewer") { session.classify(gray(63)) }
            val of = { width: Int, height: Int, stride: Int ->
                session.classify(Picture.packed(PictureFormat.RGBA, width, height, ByteBuffer.allocateDirect(256), stride))
            }
            of(8, 8, 32)
            fails<InputException> { of(8, 8, 33) }
            fails<InputException> { of(8, 8, 31) }
            fails<InputException> { of(8, 9, 32) }
            fails<InputException> { of(0, 8, 32) }
            fails<InputException>("width", "-8") { of(-8, 8, 32) }
            fails<InputException> { of(8, 8, Int.MAX_VALUE) }
            fails<InputException> { of(Int.MAX_VALUE, Int.MAX_VALUE, Int.MAX_VALUE) }
            fails<InputException>("stride", "-1") { of(8, 8, -1) }
            fails<InputException>("three planes") {
                Picture.packed(PictureFormat.YUV_420_888, 8, 8, ByteArray(96))
            }
            val yuv = { bytes: Int, row: Int, pixel: Int ->
                val y = Plane(ByteBuffer.allocateDirect(64), 8, 1)
                val uv = Plane(ByteBuffer.allocateDirect(bytes), row, pixel)
                session.classify(Picture.yuv420(8, 8, y, uv, uv))
            }
            yuv(16, 4, 1)
            yuv(31, 8, 2)
            fails<InputException> { yuv(15, 4, 1) }
            fails<InputException> { yuv(30, 8, 2) }
            fails<InputException> { yuv(16, 3, 1) }
            fails<InputException> { yuv(16, 4, 0) }
            fails<InputException> { yuv(16, 4, 2) }
            fails<InputException>("pixel stride", "-2") { yuv(31, 8, -2) }
            fails<InputException>("96 bytes") { Picture.nv12(8, 8, ByteBuffer.allocate(95)) }
            fails<InputException> { Rotation.of(45) }
        }
    }

    @Test
    fun picturesForModelsThatTakeNone() {
        session("doubled") { session ->
            fails<PipelineException>("--pipeline") { session.ask(gray()) }
            fails<PipelineException> { session.answer() }
            fails<PipelineException> { session.listen(FloatArray(4), 16_000) }
            fails<PipelineException> { session.model.selfTest() }
        }
        session("boxes") { session ->
            fails<PipelineException>("answers boxes, not classes") { session.classify(gray()) }
        }
        session("stream") { session ->
            fails<InputException>("piece by piece") { session.listen(FloatArray(5), 16_000) }
            fails<InputException>("rate") { session.listen(FloatArray(4), 0) }
            fails<InputException> { session.listen(FloatArray(4), -1) }
        }
    }

    @Test
    fun damagedBundles() {
        fails<ModelException>("nowhere.cygnet") { CygnetModel.open("nowhere.cygnet") }
        val bytes = File(bundle("colours")).readBytes()
        CygnetModel.open(bytes).close()
        CygnetModel.open(ByteBuffer.wrap(bytes)).close()
        for (length in 0 until bytes.size) {
            fails<ModelException> { CygnetModel.open(bytes.copyOf(length)) }
        }
        // What is damaged is refused, or still a model that can be used.
        for (at in bytes.indices) {
            val damaged = bytes.copyOf().also { it[at] = (it[at].toInt() xor 0x10).toByte() }
            try {
                CygnetModel.open(damaged).use { model -> model.session().use { it.ask(gray()) } }
            } catch (_: CygnetException) {
            }
        }
        val file = File.createTempFile("cut", ".cygnet")
        file.writeBytes(bytes.copyOf(bytes.size / 2))
        fails<ModelException>(file.name) { CygnetModel.open(file) }
        file.delete()
        fails<SelfTestException>("6.5") { CygnetModel.open(bundle("bad")).use { it.selfTest() } }
    }
}
