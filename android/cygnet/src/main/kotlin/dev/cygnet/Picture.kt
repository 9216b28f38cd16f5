package dev.cygnet

import java.nio.ByteBuffer

/** How the pixels of a picture lie in memory. */
public enum class PictureFormat(internal val code: Int, internal val bytes: Int) {
    /** One byte of brightness a pixel. */
    GRAY(0, 1),

    /** Red, green, blue. */
    RGB(1, 3),

    /** Blue, green, red. */
    BGR(2, 3),

    /** Red, green, blue, opacity (not read): an Android `ARGB_8888` bitmap in memory. */
    RGBA(3, 4),

    /** Blue, green, red, opacity (not read). */
    BGRA(4, 4),

    /** Opacity (not read), red, green, blue. */
    ARGB(5, 4),

    /** A plane of brightness and two of colour differences for every two by two pixels: what Android's cameras give. */
    YUV_420_888(16, 1),
}

/** How far a picture has to be turned clockwise to stand upright, in degrees. */
public enum class Rotation(public val degrees: Int) {
    /** It stands upright. */
    NONE(0),

    /** A quarter turn. */
    CLOCKWISE_90(90),

    /** Half a turn. */
    CLOCKWISE_180(180),

    /** Three quarter turns. */
    CLOCKWISE_270(270),
    ;

    public companion object {
        /**
         * The rotation of so many degrees, as CameraX's `imageInfo.rotationDegrees` has it.
         *
         * @throws InputException when it is no multiple of 90.
         */
        @JvmStatic
        @Throws(CygnetException::class)
        public fun of(degrees: Int): Rotation {
            if (degrees % 90 != 0) throw InputException("pictures turn by multiples of 90 degrees, not by $degrees")
            return values()[Math.floorMod(degrees / 90, 4)]
        }
    }
}

/** Which colours brightness and colour differences mean. */
public enum class ColourMatrix {
    /** ITU-R BT.601, all of 0..255: JPEG, and Android's cameras. */
    BT601_FULL,

    /** ITU-R BT.601, brightness in 16..235. */
    BT601_VIDEO,

    /** ITU-R BT.709, all of 0..255. */
    BT709_FULL,

    /** ITU-R BT.709, brightness in 16..235. */
    BT709_VIDEO,
}

/**
 * One component of a picture: sample `x` of row `y` lies `y * rowStride + x * pixelStride` bytes behind the position of
 * [bytes], which stays as it is. Direct buffers are read where they lie, others are copied.
 */
public class Plane(public val bytes: ByteBuffer, public val rowStride: Int, public val pixelStride: Int)

/**
 * A picture in memory that stays the caller's and must not change during a call. What is said of it is checked when a model
 * looks at it: an [InputException] tells when its bytes are fewer than size and strides ask for.
 */
public class Picture private constructor(
    /** How its pixels lie in memory. */
    public val format: PictureFormat,
    /** Columns, as the pixels lie in memory. */
    public val width: Int,
    /** Rows, as the pixels lie in memory. */
    public val height: Int,
    private val planes: List<Plane>,
    /** How far it has to be turned to stand upright. */
    public val rotation: Rotation,
    /** Whether it is mirrored, left to right, after turning. */
    public val mirrored: Boolean,
    private val matrix: ColourMatrix,
) {
    /** The same picture, mirrored: what a front camera shows. */
    public fun mirrored(): Picture = Picture(format, width, height, planes, rotation, !mirrored, matrix)

    /** The same picture, to be turned so. */
    public fun rotated(rotation: Rotation): Picture = Picture(format, width, height, planes, rotation, mirrored, matrix)

    /** Calls [use] with the numbers that `picture.rs` reads and the objects that hold the planes. */
    internal fun <R> described(use: (IntArray, Array<Any?>) -> R): R {
        val numbers = IntArray(6 + 3 * 5)
        val objects = arrayOfNulls<Any>(3)
        numbers[0] = format.code
        numbers[1] = width
        numbers[2] = height
        numbers[3] = rotation.ordinal
        numbers[4] = if (mirrored) 1 else 0
        numbers[5] = matrix.ordinal
        for ((i, plane) in planes.withIndex()) {
            val bytes = if (plane.bytes.isDirect || plane.bytes.hasArray()) plane.bytes else direct(plane.bytes)
            val at = 6 + 5 * i
            numbers[at] = if (bytes.isDirect) 1 else 2
            numbers[at + 1] = if (bytes.isDirect) bytes.position() else bytes.arrayOffset() + bytes.position()
            numbers[at + 2] = bytes.remaining()
            numbers[at + 3] = plane.rowStride
            numbers[at + 4] = plane.pixelStride
            objects[i] = if (bytes.isDirect) bytes else bytes.array()
        }
        return use(numbers, objects)
    }

    public companion object {
        /**
         * A picture whose pixels have all their components side by side, from the position of [bytes] on.
         *
         * @param rowStride bytes from one row to the next.
         * @throws InputException for [PictureFormat.YUV_420_888], which [yuv420] takes.
         */
        @JvmStatic
        @JvmOverloads
        @Throws(CygnetException::class)
        public fun packed(
            format: PictureFormat,
            width: Int,
            height: Int,
            bytes: ByteBuffer,
            rowStride: Int = width * format.bytes,
            rotation: Rotation = Rotation.NONE,
        ): Picture {
            if (format == PictureFormat.YUV_420_888) {
                throw InputException("YUV_420_888 lies in three planes: use Picture.yuv420, nv12 or nv21")
            }
            val plane = Plane(bytes, rowStride, format.bytes)
            return Picture(format, width, height, listOf(plane), rotation, false, ColourMatrix.BT601_FULL)
        }

        /** As above, from an array, which a call copies. */
        @JvmStatic
        @JvmOverloads
        @Throws(CygnetException::class)
        public fun packed(
            format: PictureFormat,
            width: Int,
            height: Int,
            bytes: ByteArray,
            rowStride: Int = width * format.bytes,
            rotation: Rotation = Rotation.NONE,
        ): Picture = packed(format, width, height, ByteBuffer.wrap(bytes), rowStride, rotation)

        /**
         * A picture of a camera: brightness [y] of `width x height` samples, differences of blue [u] and red [v] of half as
         * many columns and rows each, rounded up.
         */
        @JvmStatic
        @JvmOverloads
        public fun yuv420(
            width: Int,
            height: Int,
            y: Plane,
            u: Plane,
            v: Plane,
            rotation: Rotation = Rotation.NONE,
            matrix: ColourMatrix = ColourMatrix.BT601_FULL,
        ): Picture = Picture(PictureFormat.YUV_420_888, width, height, listOf(y, u, v), rotation, false, matrix)

        /** NV12 in one block without gaps: brightness, then pairs of colour differences, blue first. */
        @JvmStatic
        @JvmOverloads
        @Throws(CygnetException::class)
        public fun nv12(
            width: Int,
            height: Int,
            bytes: ByteBuffer,
            rotation: Rotation = Rotation.NONE,
            matrix: ColourMatrix = ColourMatrix.BT601_FULL,
        ): Picture {
            val (y, first, second) = biplanar(width, height, bytes)
            return yuv420(width, height, y, first, second, rotation, matrix)
        }

        /** NV21 in one block without gaps: brightness, then pairs of colour differences, red first (Android's old cameras). */
        @JvmStatic
        @JvmOverloads
        @Throws(CygnetException::class)
        public fun nv21(
            width: Int,
            height: Int,
            bytes: ByteBuffer,
            rotation: Rotation = Rotation.NONE,
            matrix: ColourMatrix = ColourMatrix.BT601_FULL,
        ): Picture {
            val (y, first, second) = biplanar(width, height, bytes)
            return yuv420(width, height, y, second, first, rotation, matrix)
        }

        private fun biplanar(width: Int, height: Int, bytes: ByteBuffer): List<Plane> {
            val luma = width.toLong() * height
            val stride = (width + 1) / 2 * 2
            val needed = luma + stride.toLong() * ((height + 1) / 2)
            if (width < 1 || height < 1 || needed > bytes.remaining()) {
                throw InputException("$width x $height pixels take $needed bytes, given were ${bytes.remaining()}")
            }
            val from = { skip: Int -> bytes.duplicate().also { it.position(bytes.position() + skip) } }
            return listOf(
                Plane(from(0), width, 1),
                Plane(from(luma.toInt()), stride, 2),
                Plane(from(luma.toInt() + 1), stride, 2),
            )
        }

        /** A direct copy of what remains. */
        internal fun direct(bytes: ByteBuffer): ByteBuffer {
            val copy = ByteBuffer.allocateDirect(bytes.remaining()).put(bytes.duplicate())
            copy.flip()
            return copy
        }
    }
}
