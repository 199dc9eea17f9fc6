# 作业四：长短期记忆网络
# 姓名：李雷　学号：２０２４０００１
import numpy as numpy

门的次序 = ("输入", "遗忘", "输出", "候选")


def 逻辑函数(值):
    """数值稳定的 sigmoid。"""
    结果 = numpy.empty_like(值)
    正 = 值 >= 0
    结果[正] = 1 / (1 + numpy.exp(-值[正]))
    指数 = numpy.exp(值[~正])
    结果[~正] = 指数 / (1 + 指数)
    return 结果


def lstm_step_forward(x, h_prev, c_prev, Wx, Wh, b, mask=None):
    # 四个门并排放在一起，每个门占 H 列
    预激活 = numpy.split(x @ Wx + h_prev @ Wh + b, 4, axis=1)
    门 = {名: (numpy.tanh if 名 == "候选" else 逻辑函数)(值) for 名, 值 in zip(门的次序, 预激活)}
    新细胞 = 门["遗忘"] * c_prev + 门["输入"] * 门["候选"]
    新隐藏 = 门["输出"] * numpy.tanh(新细胞)
    真 = numpy.ones((len(x), 1), bool) if mask is None else mask[:, None]
    状态 = numpy.where(真, 新隐藏, h_prev), numpy.where(真, 新细胞, c_prev)
    return 状态, (x, h_prev, c_prev, Wx, Wh, 门, 新细胞, 真)


def lstm_step_backward(dout, cache):
    x, 旧隐藏, 旧细胞, Wx, Wh, 门, 新细胞, 真 = cache
    上, 侧 = (numpy.zeros_like(旧隐藏) if d is None else d for d in dout)
    输入, 遗忘, 输出, 候选 = 门.values()
    双曲 = numpy.tanh(新细胞)
    # 细胞状态通过两条路影响损失
    细胞 = numpy.where(真, 侧 + 上 * 输出 * (1 - 双曲**2), 0)
    dz = numpy.concatenate(
        [
            细胞 * 候选 * 输入 * (1 - 输入),
            细胞 * 旧细胞 * 遗忘 * (1 - 遗忘),
            numpy.where(真, 上, 0) * 双曲 * 输出 * (1 - 输出),
            细胞 * 输入 * (1 - 候选**2),
        ],
        axis=1,
    )
    传回隐藏 = numpy.where(真, dz @ Wh.T, 上)
    传回细胞 = numpy.where(真, 细胞 * 遗忘, 侧)
    return dz @ Wx.T, 传回隐藏, 传回细胞, x.T @ dz, 旧隐藏.T @ dz, dz.sum(axis=0)


def lstm_forward(x, h0, c0, Wx, Wh, b, mask=None):
    隐藏, 细胞 = h0, c0
    全部, 缓存 = [], []
    for 时刻, 字母 in enumerate(x):
        (隐藏, 细胞), 一步 = lstm_step_forward(
            字母, 隐藏, 细胞, Wx, Wh, b, None if mask is None else mask[时刻]
        )
        全部.append(隐藏)
        缓存.append(一步)
    return (numpy.stack(全部), 隐藏, 细胞), 缓存


def lstm_backward(dout, cache):
    各步, 隐藏, 细胞 = dout
    总和 = None
    输入梯度 = []
    for 时刻 in range(len(cache) - 1, -1, -1):  # 从最后一步往回走
        if 各步 is not None:
            隐藏 = 各步[时刻] if 隐藏 is None else 隐藏 + 各步[时刻]
        dx, 隐藏, 细胞, *权重 = lstm_step_backward((隐藏, 细胞), cache[时刻])
        输入梯度.append(dx)
        总和 = 权重 if 总和 is None else [甲 + 乙 for 甲, 乙 in zip(总和, 权重)]
    return numpy.stack(输入梯度[::-1]), 隐藏, 细胞, *总和
