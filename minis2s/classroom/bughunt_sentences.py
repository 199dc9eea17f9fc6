"""What is wrong with each bug that can be hunted, as a choice for the student: in English and in Chinese.

The keys are names of the catalogue (minis2s/gradcheck/mutants). The sentences speak of quantities by what they
are, never by a name in the code, since each student's code has names of its own.
"""

SENTENCES: dict[str, dict[str, tuple[str, str]]] = {
    "rnn": {
        "rnn/outputs overwrite the carried dh": (
            "The gradient of the output takes the place of what came back from the step after, instead of joining it.",
            "输出的梯度取代了从后一步传回的梯度，而不是与它相加。",
        ),
        "rnn/output gradient only at the last step": (
            "Only the output of the last step hands in its gradient; those of the other steps are left out.",
            "只有最后一步的输出把梯度传进来，其余各步的输出梯度都漏掉了。",
        ),
        "rnn/sigmoid's derivative": (
            "The state is a tanh, but its derivative here is a sigmoid's.",
            "状态是 tanh 的输出，这里用的却是 sigmoid 的导数。",
        ),
        "rnn/derivative from the state before": (
            "The derivative of the activation is computed from the state before the step, not from the one after it.",
            "激活函数的导数是用该步之前的状态算的，而不是用该步之后的状态。",
        ),
        "rnn/Wh not transposed": (
            "On the way back to the state before, the recurrent matrix is used as in the forward pass, not transposed.",
            "往前一状态回传时，循环矩阵照前向那样直接使用，没有转置。",
        ),
        "rnn/dh handed back twice": (
            "What is handed back to the state before is counted two times.",
            "传回前一状态的梯度被算了两次。",
        ),
        "rnn/dh handed back before the activation": (
            "What is handed back to the state before is taken in front of the activation's derivative, which is lost on this way.",
            "传回前一状态的梯度取在乘激活函数导数之前，这条路上丢了该导数。",
        ),
    },
    "lstm": {
        "lstm/outputs overwrite the carried dh": (
            "The gradient of the output takes the place of what came back from the step after, instead of joining it.",
            "输出的梯度取代了从后一步传回的梯度，而不是与它相加。",
        ),
        "lstm/outputs of the step before": (
            "Each step receives the output gradient of the step before it.",
            "每一步收到的是前一步的输出梯度。",
        ),
        "lstm/gates of another step": (
            "The gates are read in the order of the loop, not of time: each step uses those of another one.",
            "门是按循环的次序而不是按时间读取的：每一步用的是另一步的门。",
        ),
        "lstm/incoming dc ignored": (
            "The gradient that the cell state received from the step after is dropped.",
            "细胞状态从后一步收到的梯度被丢掉了。",
        ),
        "lstm/incoming dc added twice": (
            "What the cell state received from the step after is counted two times.",
            "细胞状态从后一步收到的梯度被算了两次。",
        ),
        "lstm/dc lacks the factor o": (
            "On the way from the hidden state to the cell state the output gate is left out.",
            "从隐藏状态回到细胞状态的路上漏乘了输出门。",
        ),
        "lstm/derivative of tanh from c": (
            "On the way to the cell state the derivative of tanh is computed from the cell state, not from its tanh.",
            "回到细胞状态的路上，tanh 的导数是用细胞状态算的，而不是用它的 tanh。",
        ),
        "lstm/dc through h twice": (
            "What reaches the cell state through the hidden state is counted two times.",
            "经隐藏状态到达细胞状态的梯度被算了两次。",
        ),
        "lstm/df uses c_t": (
            "The forget gate's gradient takes the cell state after the step, not the one before it.",
            "遗忘门的梯度用的是该步之后的细胞状态，而不是该步之前的。",
        ),
        "lstm/di and dg exchanged": (
            "In the product of input gate and candidate each factor's gradient takes the factor itself, not the other one.",
            "在输入门与候选值的乘积里，每个因子的梯度乘的是它自己，而不是另一个因子。",
        ),
        "lstm/di lacks g": (
            "The input gate's gradient lacks the candidate that it was multiplied with.",
            "输入门的梯度漏乘了与它相乘的候选值。",
        ),
        "lstm/dc passed back times i": (
            "The cell state's gradient goes back to the step before through the input gate, not the forget gate.",
            "细胞状态的梯度经输入门而不是经遗忘门传回前一步。",
        ),
        "lstm/candidate with the sigmoid's derivative": (
            "The candidate is a tanh, but its derivative here is a sigmoid's.",
            "候选值是 tanh 的输出，这里用的却是 sigmoid 的导数。",
        ),
        "lstm/candidate with 1 - g": (
            "In the derivative of the candidate's tanh a square is missing.",
            "候选值的 tanh 的导数里少了一个平方。",
        ),
        "lstm/input gate with the tanh's derivative": (
            "The input gate is a sigmoid, but its derivative here is a tanh's.",
            "输入门是 sigmoid 的输出，这里用的却是 tanh 的导数。",
        ),
        "lstm/i and f exchanged": (
            "The gradients of input gate and forget gate are stored in each other's place.",
            "输入门与遗忘门的梯度存到了彼此的位置上。",
        ),
        "lstm/o and g exchanged": (
            "The gradients of output gate and candidate are stored in each other's place.",
            "输出门与候选值的梯度存到了彼此的位置上。",
        ),
    },
    "gru": {
        "gru/outputs overwrite the carried dh": (
            "The gradient of the output takes the place of what came back from the step after, instead of joining it.",
            "输出的梯度取代了从后一步传回的梯度，而不是与它相加。",
        ),
        "gru/u and 1 - u exchanged": (
            "Candidate and carried state take each other's share of the gradient.",
            "候选值与保留的状态拿了彼此那一份梯度。",
        ),
        "gru/dn lacks 1 - u": (
            "The candidate's gradient lacks the share that the update gate leaves to it.",
            "候选值的梯度漏乘了更新门留给它的那一份。",
        ),
        "gru/du lacks -n": (
            "The update gate also takes from the candidate what it gives to the old state; that part of its gradient is left out.",
            "更新门给旧状态多少，就从候选值那里拿走多少；它的梯度漏了后面这一部分。",
        ),
        "gru/du with the wrong sign": (
            "The gradient of the update gate has the wrong sign: the difference is the wrong way round.",
            "更新门的梯度符号错了：差的次序反了。",
        ),
        "gru/du uses h_t": (
            "The gradient of the update gate takes the state after the step, not the one before it.",
            "更新门的梯度用的是该步之后的状态，而不是该步之前的。",
        ),
        "gru/carry dh * u forgotten": (
            "What the update gate lets pass of the old state hands no gradient back.",
            "更新门放过去的旧状态没有把梯度传回去。",
        ),
        "gru/carry without u": (
            "The direct way back to the old state lacks the factor of the update gate.",
            "直接传回旧状态的那条路漏乘了更新门。",
        ),
        "gru/candidate with the sigmoid's derivative": (
            "The candidate is a tanh, but its derivative here is a sigmoid's.",
            "候选值是 tanh 的输出，这里用的却是 sigmoid 的导数。",
        ),
        "gru/after: dr by dn": (
            "The reset gate's gradient is taken in front of the derivative of the candidate's tanh instead of behind it.",
            "重置门的梯度取在乘候选值 tanh 的导数之前，而不是之后。",
        ),
        "gru/update gate with the tanh's derivative": (
            "The update gate is a sigmoid, but its derivative here is a tanh's.",
            "更新门是 sigmoid 的输出，这里用的却是 tanh 的导数。",
        ),
        "gru/r and u exchanged": (
            "The gradients of reset gate and update gate are stored in each other's place.",
            "重置门与更新门的梯度存到了彼此的位置上。",
        ),
    },
    "attention": {
        "dot_scores/dquery with the keys reversed": (
            "On the way from the scores to the query the keys are read in reversed order.",
            "从得分回到查询时，键是按相反的次序读取的。",
        ),
        "dot_scores/rows mixed": (
            "A reshape stands where two axes have to be exchanged: sentences of the batch are mixed.",
            "该交换两个轴的地方用了 reshape：批里的句子混在了一起。",
        ),
        "masked_softmax/sum over everything": (
            "What a raised score takes from the others is summed over the whole batch and all steps.",
            "一个得分升高时从别处拿走的量，被在整个批和所有步上求了和。",
        ),
        "masked_softmax/sum over the batch": (
            "What a raised score takes from the others is summed over the sentences of the batch as well.",
            "一个得分升高时从别处拿走的量，连批里的各句也一起求了和。",
        ),
        "masked_softmax/sum over the steps": (
            "What a raised score takes from the others is summed over the queries, not over the source positions.",
            "一个得分升高时从别处拿走的量，是对查询求和，而不是对源位置求和。",
        ),
        "masked_softmax/mean in place of the sum": (
            "What a raised score takes from the others is divided by the number of source positions.",
            "一个得分升高时从别处拿走的量被除以了源位置的个数。",
        ),
        "masked_softmax/weights forgotten in the sum": (
            "What is subtracted is the plain mean of the incoming gradients, not their mean by the weights.",
            "减去的是传入梯度的普通平均，而不是按权重的平均。",
        ),
        "masked_softmax/sign": (
            "What a raised score takes from the others is added instead of subtracted.",
            "一个得分升高时从别处拿走的量被加上了，而不是减去。",
        ),
        "weighted_sum/weights multiplied in": (
            "The gradient of an attention weight contains that weight itself as a factor too many.",
            "注意力权重的梯度里多乘了该权重本身。",
        ),
    },
    "cross_entropy": {
        "cross_entropy/sign": (
            "The gradient of the logits has the wrong sign.",
            "logits 的梯度符号错了。",
        ),
        "cross_entropy/divided by the batch": (
            "The gradient is divided by the number of sentences, the loss by that of real tokens.",
            "梯度除以的是句子数，损失除以的是真实词元数。",
        ),
        "cross_entropy/padding counted in the divisor": (
            "The gradient is divided by the number of all places, padding included.",
            "梯度除以的是所有位置的个数，填充也算在内。",
        ),
        "cross_entropy/averaged twice": (
            "The division by the number of tokens happens two times.",
            "除以词元数的除法做了两次。",
        ),
        "cross_entropy/summed, not averaged": (
            "The loss is a mean over tokens, but the gradient is that of the sum.",
            "损失是对词元的平均，梯度却是总和的梯度。",
        ),
        "cross_entropy/targets of the next step": (
            "The right token of each place is taken from the step after it.",
            "每个位置的正确词元取自后一步。",
        ),
        "cross_entropy/rows mixed": (
            "The right tokens are listed sentence by sentence, the logits step by step.",
            "正确词元是逐句排列的，logits 却是逐步排列的。",
        ),
    },
}
